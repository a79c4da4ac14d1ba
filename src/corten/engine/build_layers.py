"""Layers of images that a build needs: downloaded (shared with pulls of the same), and made mountable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from corten.build.export.lost_layers import explain_failure
from corten.build.solve.protocols import Status
from corten.build.solve.result import BuiltLayer
from corten.content import Lease
from corten.errors import CortenError, NotFound
from corten.image.layer_pipeline import Share, all_finished, unpack_while_downloading
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.snapshot import Layer

BlobFetch = Callable[[Descriptor, int], AsyncIterator[bytes]]
"""(a layer's blob, an offset) → its bytes from there on."""

Origins = Callable[[str], Awaitable[BlobFetch]]
"""Where the blobs of an origin (`BuiltLayer.origin`) come from."""

_REPORT_SECONDS = 0.1


class LayerFetcher:
    """For one build; blobs stay pinned by its `lease`."""

    def __init__(self, store: ImageStore, lease: Lease, origins: Origins) -> None:
        self._store = store
        self._lease = lease
        self._origins = origins

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """Makes a chain (from the bottom) mountable, and brings the blobs of what was not so. LayersLost for
        those of an imported cache; NotFound, Unavailable and the like for an image's."""
        with self._store.registrar.pin_chain([layer.id for layer in layers]):
            missing = [layer for layer in layers if not self._store.snapshotter.contains(layer.id)]
            if not missing:
                return
            shares: dict[str, Share] = {}
            try:
                for layer in missing:
                    blob = _blob(layer)
                    self._lease.pin(blob.digest)
                    if not self._store.content.contains(blob.digest) and blob.digest not in shares:
                        shares[blob.digest] = await self._join(layer, blob, status)
                await self._unpack(layers, shares, status)
                await all_finished(shares)
            except CortenError as error:
                raise explain_failure(error, missing, shares) from error
            finally:
                for share in shares.values():
                    await self._store.transfers.leave(share)

    async def _join(self, layer: BuiltLayer, blob: Descriptor, status: Status) -> Share:
        source = await self._origins(layer.origin)
        last = 0.0

        def tell(done: int, complete: bool) -> None:
            nonlocal last
            now = time.monotonic()
            if complete or now - last >= _REPORT_SECONDS:
                last = now
                status(blob.digest, done, blob.size, complete)

        return self._store.transfers.join(blob, source, tell)

    async def _unpack(self, layers: Sequence[BuiltLayer], shares: dict[str, Share], status: Status) -> None:
        loop = asyncio.get_running_loop()
        content = self._store.content
        chain, named = [], {}
        for layer in layers:
            blob = _blob(layer)
            share = shares.get(blob.digest)
            growing = share.growing if share is not None else None
            path = str(content.path(blob.digest))
            chain.append(Layer(layer.id, layer.diff_id, path, blob.digest, growing=growing))
            named[layer.id] = f"extracting {blob.digest}"

        def progress(name: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(status, named[name], done, total, not total)

        def work() -> None:
            with self._store.snapshotter.session() as session:
                session.prepare(chain, progress)

        await unpack_while_downloading(work, shares, "the build was given up")


def _blob(layer: BuiltLayer) -> Descriptor:
    if layer.blob is None:
        raise NotFound(f"layer {layer.id} is not here, and nobody knows its blob")
    return layer.blob
