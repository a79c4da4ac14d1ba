"""A place that keeps caches, in memory; and stores of a build that open nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from corten.build.cache_transfer.keyed_stores import KeyedCache, KeyedStores
from corten.errors import NotFound
from corten.oci.descriptor import Descriptor


class MemoryStore:
    """`log` has what was asked for."""

    def __init__(self) -> None:
        self.name = "memory"
        self.origin = "cache:memory"
        self.parallel = 2
        self.seconds: float | None = None
        self.blobs: dict[str, bytes] = {}
        self.named: bytes | None = None
        self.log: list[str] = []

    async def manifests(self) -> list[bytes]:
        self.log.append("manifests")
        return [] if self.named is None else [self.named]

    async def write_manifests(self, change: Callable[[bytes | None], bytes]) -> None:
        self.named = change(self.named)

    async def prepare(self) -> None:
        self.log.append("prepare")

    async def keep(self, blob: Descriptor) -> bool:
        return len(self.blobs.get(blob.digest, b"")) == blob.size

    async def upload(
        self,
        blob: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        progress: Callable[[int], None],
    ) -> None:
        self.log.append(f"upload {blob.digest}")
        self.blobs[blob.digest] = b"".join([piece async for piece in read(0)])
        progress(blob.size)

    async def download(self, blob: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        self.log.append(f"download {blob.digest}")
        if blob.digest not in self.blobs:
            raise NotFound(f"memory does not hold {blob.digest}")
        yield self.blobs[blob.digest][offset:]


class MemoryStores(KeyedStores):
    """Every place is the one store."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    def _opened(self, place: KeyedCache) -> MemoryStore:
        return self._store
