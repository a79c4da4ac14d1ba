"""Layers in another compression than the one that they are stored in: made once, and found again.

A row in the tables says which blob came of which; a variant stays for as long as what it was made of.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

import msgspec

from corten.content import ContentStore, Lease
from corten.content.ingest import Ingest
from corten.errors import CortenError, IntegrityError
from corten.image.compression import Compression, compressor
from corten.image.tables import Tables, VariantRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, hex_of
from corten.snapshot.digester import Digester
from corten.snapshot.inflate import Inflater

_PIECE = 1 << 20

Tell = Callable[[int], None]
"""Bytes of the source that are done; from a thread."""


class BlobVariants:
    """The variants in one store. Used on one event loop."""

    def __init__(self, tables: Tables, content: ContentStore) -> None:
        self._tables = tables
        self._content = content
        self._locks: dict[tuple[str, str, int], asyncio.Lock] = {}

    def has(self, source: Descriptor, compression: Compression) -> bool:
        """Whether it was made already."""
        row = self._tables.variant(source.digest, compression.kind, compression.effective_level)
        return row is not None and self._content.contains(row.target)

    async def get(
        self,
        source: Descriptor,
        compression: Compression,
        lease: Lease,
        *,
        plain: bool,
        oci: bool = True,
        tell: Tell = lambda _: None,
    ) -> Descriptor:
        """The layer `source` (in the store, and pinned) in another compression, which `lease` pins. Its
        annotations stay. `plain`: it is a plain tar, whatever it begins with. IntegrityError when the stored
        blob is damaged."""
        key = (source.digest, compression.kind, compression.effective_level)
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                row = self._tables.variant(*key)
                if row is not None:
                    lease.pin(row.target)
                if row is None or not self._content.contains(row.target):
                    row = await self._make(source, compression, lease, plain, tell)
            finally:
                self._locks.pop(key, None)
        return _described(source, compression, row.target, row.size, oci)

    async def _make(
        self, source: Descriptor, compression: Compression, lease: Lease, plain: bool, tell: Tell
    ) -> VariantRow:
        stop = threading.Event()

        def work() -> VariantRow:
            with self._content.writer(lease=lease) as ingest:
                self._convert(source, compression, ingest, plain, stop, tell)
                target = ingest.commit()
                level = compression.effective_level
                row = VariantRow(source.digest, compression.kind, level, target, ingest.written)
            self._tables.set_variant(row)
            return row

        working = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({working})
            working.exception()
            raise

    def _convert(
        self,
        source: Descriptor,
        compression: Compression,
        ingest: Ingest,
        plain: bool,
        stop: threading.Event,
        tell: Tell,
    ) -> None:
        """What was stored is hashed once more: damage must not get a digest of its own."""
        fd = self._content.open(source.digest)
        done = 0

        with os.fdopen(fd, "rb", buffering=0) as file, Digester(algorithm_of(source.digest)) as digester:

            def read(size: int) -> bytes:
                nonlocal done
                if stop.is_set():
                    raise CortenError("the compression was given up")
                piece = file.read(size)
                digester.update(piece)
                done += len(piece)
                tell(done)
                return piece

            tar = read if plain else Inflater(read, what="layer").read
            if compression.kind == "uncompressed":
                while piece := tar(_PIECE):
                    ingest.write(piece)
            else:
                work = compressor(compression, ingest.write)
                try:
                    while piece := tar(_PIECE):
                        work.write(piece)
                    work.finish()
                finally:
                    work.close()
            if digester.hexdigest() != hex_of(source.digest):
                raise IntegrityError(
                    f"blob {source.digest} is damaged on disk: its content has another digest; load, pull or "
                    "build the image again"
                )


def _described(source: Descriptor, compression: Compression, digest: str, size: int, oci: bool) -> Descriptor:
    kind = compression.media_type(oci=oci)
    return msgspec.structs.replace(source, media_type=kind, digest=digest, size=size, urls=None)
