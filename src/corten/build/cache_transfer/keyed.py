"""Caches in a `KeyedStore`: where they are imported from, and exported to."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from corten.build.cache_transfer.collection import Part
from corten.build.cache_transfer.keyed_manifest import decode_keyed, encode_keyed
from corten.build.cache_transfer.protocols import KeyedStore
from corten.build.cache_transfer.sources import CacheSource
from corten.build.export.assembly import Document
from corten.build.export.concurrency import all_of
from corten.build.export.exporter import ExportedFile
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.protocols import Status
from corten.content import ContentStore
from corten.content.streaming import blob_pieces
from corten.errors import IntegrityError, NotFound, Unavailable
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, hex_of, is_digest
from corten.oci.manifest import Manifest


class KeyedSource:
    """See CacheSource."""

    def __init__(self, store: KeyedStore) -> None:
        self.name = store.name
        self.origin = store.origin
        self._store = store
        self._documents: dict[str, bytes] = {}

    async def manifests(self) -> list[Manifest]:
        """See CacheSource."""
        async with _within(self._store, "import"):
            found = [decode_keyed(data) for data in await self._store.manifests()]
        ours = [item for item in found if item is not None]
        self._documents = {item.manifest.config.digest: item.document for item in ours}
        return [item.manifest for item in ours]

    async def document(self, descriptor: Descriptor, limit: int) -> bytes:
        """See CacheSource: the config came with its manifest."""
        known = self._documents.get(descriptor.digest)
        if known is not None:
            return known
        _check(self.name, descriptor)
        data = bytearray()
        async for piece in self._store.download(descriptor):
            data += piece
            if len(data) > limit:
                raise IntegrityError(f"blob {descriptor.digest} in {self.name} has more than {limit} bytes")
        digest = hashlib.new(algorithm_of(descriptor.digest), data)
        if digest.hexdigest() != hex_of(descriptor.digest):
            raise IntegrityError(f"blob {descriptor.digest} in {self.name} is damaged: it has another digest")
        return bytes(data)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See CacheSource."""
        _check(self.name, descriptor)
        return self._store.download(descriptor, offset)


class KeyedTarget:
    """See CacheTarget. Only what is not there travels."""

    def __init__(self, store: KeyedStore, content: ContentStore, blobs: LayerBlobs) -> None:
        self.name = store.name
        self.source: CacheSource = KeyedSource(store)
        self._store = store
        self._content = content
        self._blobs = blobs
        self._slots = asyncio.Semaphore(store.parallel)

    async def has(self, blob: Descriptor) -> bool:
        """See CacheTarget."""
        return await self._store.keep(blob)

    async def write(
        self, parts: Sequence[Part], config: Document, manifest: Document, status: Status
    ) -> ExportedFile | None:
        """See CacheTarget."""
        async with _within(self._store, "export"):
            await self._store.prepare()
            once = {part.blob.digest: part for part in parts}
            await all_of(self._part(part, status) for part in once.values())
            name = f"writing cache manifest {self.name}"
            status(name, 0, 1, False)
            await self._store.write_manifests(functools.partial(encode_keyed, manifest.data, config.data))
            status(name, 1, 1, True)
        return None

    async def _part(self, part: Part, status: Status) -> None:
        blob, name = part.blob, f"writing layer {part.blob.digest}"
        async with self._slots:
            if not await self._store.keep(blob):
                if not self._content.contains(blob.digest):
                    if part.layer is None:
                        raise NotFound(f"the blob {blob.digest} of the build cache is gone")
                    await self._blobs.bring([part.layer], status)
                status(name, 0, blob.size, False)
                await self._store.upload(
                    blob,
                    functools.partial(blob_pieces, self._content, blob.digest),
                    lambda done: status(name, done, blob.size, False),
                )
            status(name, blob.size, blob.size, True)


def _check(name: str, descriptor: Descriptor) -> None:
    """A digest becomes a key: it must be one."""
    if not is_digest(descriptor.digest):
        raise IntegrityError(f"{name} names a blob by {descriptor.digest[:100]!r}, which is no digest")


@asynccontextmanager
async def _within(store: KeyedStore, what: str) -> AsyncIterator[None]:
    limit = asyncio.timeout(store.seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unavailable(
            f"the {what} of the build cache {store.name} took longer than its timeout of {store.seconds:g} s"
        ) from None
