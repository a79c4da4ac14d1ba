"""The blobs of an image's layers, compressed as an output wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from corten.build.export.concurrency import all_of
from corten.build.export.layer_tars import LayerTars
from corten.build.export.lost_layers import explain_failure
from corten.build.export.media_type import compression_of, layer_of
from corten.build.export.protocols import Images, RegistryAccess, Status
from corten.build.solve.failure import LayersLost
from corten.build.solve.result import BuiltLayer
from corten.content import Lease
from corten.errors import CortenError, NotFound
from corten.image.compression import Compression
from corten.image.layer_pipeline import Share
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class CompressedLayer:
    """What a manifest and a config say of a layer."""

    blob: Descriptor
    diff_id: str


class LayerBlobs:
    """For one build; what it brings or makes is pinned by `lease`. A chain's layers lie bottom first."""

    def __init__(
        self, store: ImageStore, tars: LayerTars, images: Images, registry: RegistryAccess, lease: Lease
    ) -> None:
        self._store = store
        self._tars = tars
        self._images = images
        self._registry = registry
        self._lease = lease

    async def described(self, chain: Sequence[BuiltLayer], status: Status) -> list[BuiltLayer]:
        """The layers with their diff IDs and blobs: the plain tars of those that were made here are made."""
        return await all_of(self._described(layer, status) for layer in chain)

    async def _described(self, layer: BuiltLayer, status: Status) -> BuiltLayer:
        if not layer.is_made_here:
            return layer
        done = await self._tars.get(layer, self._lease)
        assert done.blob is not None
        status(f"layer {done.diff_id}", done.blob.size, done.blob.size, True)
        return done

    async def compressed(
        self, chain: Sequence[BuiltLayer], compression: Compression, status: Status, *, oci: bool
    ) -> list[CompressedLayer]:
        """What an image has of described layers. Those of images are what they are there, unless the
        compression is forced; they need not be in the store. What becomes eStargz has another diff ID."""
        changed = [layer for layer in chain if _is_changed(layer, compression)]
        if any(not layer.is_made_here for layer in changed):
            await self.bring(chain, status)
        return await all_of(self._compressed(layer, compression, status, oci) for layer in chain)

    async def _compressed(
        self, layer: BuiltLayer, compression: Compression, status: Status, oci: bool
    ) -> CompressedLayer:
        blob = blob_of(layer)
        if not _is_changed(layer, compression):
            return CompressedLayer(layer_of(blob, oci=oci), layer.diff_id)
        loop, name = asyncio.get_running_loop(), f"compressing {blob.digest}"
        made = await self._store.variants.get(
            blob,
            compression,
            self._lease,
            plain=blob.digest == layer.diff_id,
            oci=oci,
            tell=lambda done: _post(loop, status, name, done, blob.size),
        )
        status(name, blob.size, blob.size, True)
        diff_id = self._store.variants.diff_id(made) if compression.kind == "estargz" else None
        return CompressedLayer(layer_of(made, oci=oci), diff_id or layer.diff_id)

    async def bring(self, chain: Sequence[BuiltLayer], status: Status) -> None:
        """Sees to it that the blobs of a described chain are in the store. LayersLost for those of an
        imported cache; NotFound, Unavailable."""
        elsewhere: list[BuiltLayer] = []
        shares: dict[str, Share] = {}
        try:
            for layer in chain:
                blob = blob_of(layer)
                self._lease.pin(blob.digest)
                if self._store.content.contains(blob.digest) or blob.digest in shares:
                    continue
                if not layer.is_in_registry:
                    elsewhere.append(layer)
                else:
                    shares[blob.digest] = await self._join(layer, blob, status)
            for part in fetchable(chain) if elsewhere else ():
                await self._images.fetch(part, status)
            await all_of(share.finished() for share in shares.values())
        except LayersLost:
            raise
        except CortenError as error:
            fetched = [layer for layer in chain if blob_of(layer).digest in shares]
            raise explain_failure(error, fetched, shares) from error
        finally:
            for share in shares.values():
                await self._store.transfers.leave(share)
        for layer in elsewhere:
            digest = blob_of(layer).digest
            if self._store.content.contains(digest):
                continue
            if layer.made_by:
                raise LayersLost(f"the blob {digest} of a build cache is gone", [layer.id])
            raise NotFound(f"the blob {digest} of a base image is gone: pull or load that image again")

    async def _join(self, layer: BuiltLayer, blob: Descriptor, status: Status) -> Share:
        reference = Reference.parse(layer.origin)
        client = await self._registry(reference)
        return self._store.transfers.join(
            blob,
            lambda what, offset: client.blob(reference.path, what, offset),
            lambda done, complete: status(blob.digest, done, blob.size, complete),
        )


def fetchable(chain: Sequence[BuiltLayer]) -> list[list[BuiltLayer]]:
    """The layers of a chain that were not made here, as `Images.fetch` takes them: those at the bottom
    together, and others, which were made over nothing, one by one."""
    bottom: list[BuiltLayer] = []
    others: list[list[BuiltLayer]] = []
    for position, layer in enumerate(chain):
        if layer.is_made_here:
            continue
        if position == len(bottom):
            bottom.append(layer)
        else:
            others.append([layer])
    return [bottom, *others] if bottom else others


def blob_of(layer: BuiltLayer) -> Descriptor:
    """The blob of a layer of which it must be known."""
    if layer.blob is None:
        raise NotFound(f"layer {layer.id} has no blob, and none can be made: build it again")
    return layer.blob


def _is_changed(layer: BuiltLayer, compression: Compression) -> bool:
    if not layer.is_made_here and not compression.force:
        return False
    return compression_of(blob_of(layer)) not in (compression.kind, "")


def _post(loop: asyncio.AbstractEventLoop, status: Status, name: str, done: int, total: int) -> None:
    loop.call_soon_threadsafe(status, name, done, total, False)
