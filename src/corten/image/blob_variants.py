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
from corten.image.estargz.toc import Facts, without_own
from corten.image.estargz.writer import write_estargz
from corten.image.tables import Tables, VariantRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, algorithm_of, hex_of
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

    def diff_id(self, descriptor: Descriptor) -> Digest | None:
        """That of an eStargz layer that was made here, which is not that of what it was made of; None for all
        other blobs."""
        facts = self._facts(descriptor.digest)
        return None if facts is None else facts.diff_id

    def _facts(self, digest: str) -> Facts | None:
        row = self._tables.estargz(digest)
        return None if row is None else Facts(Digest(row[0]), Digest(row[1]), row[2])

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
        annotations stay, but for those of eStargz. `plain`: it is a plain tar, whatever it begins with.
        IntegrityError when the stored blob is damaged; Unsupported for what cannot become eStargz."""
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
            facts = self._facts(row.target) if compression.kind == "estargz" else None
        return _described(source, compression, row, facts, oci)

    async def _make(
        self, source: Descriptor, compression: Compression, lease: Lease, plain: bool, tell: Tell
    ) -> VariantRow:
        stop = threading.Event()

        def work() -> VariantRow:
            with self._content.writer(lease=lease) as ingest:
                facts = self._convert(source, compression, ingest, plain, stop, tell)
                target = ingest.commit()
                level = compression.effective_level
                row = VariantRow(source.digest, compression.kind, level, target, ingest.written)
            with self._tables.transaction():
                if facts is not None:
                    self._tables.set_estargz(target, facts.diff_id, facts.toc_digest, facts.size)
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
    ) -> Facts | None:
        """What was stored is hashed once more: damage must not get a digest of its own."""
        fd = self._content.open(source.digest)
        done = 0
        facts: Facts | None = None

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
            elif compression.kind == "estargz":
                facts = write_estargz(tar, ingest.write, compression.effective_level)
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
        return facts


def _described(
    source: Descriptor, compression: Compression, row: VariantRow, facts: Facts | None, oci: bool
) -> Descriptor:
    annotations = without_own(source.annotations)
    if facts is not None:
        annotations = {**(annotations or {}), **facts.annotations()}
    return msgspec.structs.replace(
        source,
        media_type=compression.media_type(oci=oci),
        digest=row.target,
        size=row.size,
        urls=None,
        annotations=annotations,
    )
