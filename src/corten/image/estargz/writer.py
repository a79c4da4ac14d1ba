"""From a layer's tar to an eStargz layer.

::

    gzip members:  tar headers, directories, links …   the tar as it is, byte for byte, up to its end: each
                   a file's chunk of at most 4 MiB     chunk of a file is a member of its own
                   …
                   .no.prefetch.landmark               behind the end of the tar
                   stargz.index.json                   the table of contents, the last entry
                   51 bytes                            the footer, which says where that is

What the format adds stands behind the tar's end-of-archive marker (where BuildKit has the table of contents,
too): who unpacks the layer as a plain tar gets the files of the layer, and not two more. The diff ID is that
of everything, so it is another one than the plain tar's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from corten.image.compression import Write
from corten.image.estargz.members import Members
from corten.image.estargz.toc import (
    LANDMARK_CONTENTS,
    NO_PREFETCH_LANDMARK,
    PREFETCH_LANDMARK,
    TOC_NAME,
    Facts,
    TocEntry,
    encode_toc,
    footer,
    toc_entry,
)
from corten.oci.digest import Digest, sha256_of
from corten.snapshot.inflate import Read
from corten.snapshot.limits import DEFAULT_LIMITS
from corten.snapshot.tar_header import BLOCK, Entry
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tar_writer import TarWriter

CHUNK = 4 << 20

_MOST_UNREAD = 4 * DEFAULT_LIMITS.max_pax
"""So much can lie before an entry; what is more belongs to none that has contents, and may have any size."""


def write_estargz(tar: Read, write: Write, level: int) -> Facts:
    """Reads a plain tar to its end and hands the layer to `write`. The same tar gives the same bytes.

    ArchiveError for what is no tar, Unsupported for what eStargz cannot tell (sparse files, names that are no
    UTF-8, a file `stargz.index.json`)."""
    members = Members(level, write)
    try:
        return _Layer(tar, members).convert(write)
    finally:
        members.close()


class _Layer:
    """One conversion."""

    def __init__(self, tar: Read, members: Members) -> None:
        self._members = members
        self._hash = hashlib.sha256()
        self._size = 0
        self._entries: list[TocEntry] = []
        self._raw = _Recorded(tar, self._add_much)
        self._reader = TarReader(self._raw.read, what="layer")

    def convert(self, write: Callable[[bytes], object]) -> Facts:
        has_landmark = False
        while (entry := self._reader.next()) is not None:
            self._add(self._raw.take(self._reader.offset))
            described = toc_entry(entry)
            has_landmark |= described.name in (NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK)
            self._entries.append(described)
            if described.type == "reg":
                self._file(entry, described)
        self._add(self._raw.rest())
        if not has_landmark:
            self._landmark()
        self._members.settle()
        return self._table(write)

    def _file(self, entry: Entry, described: TocEntry) -> None:
        """The contents, cut into chunks."""
        whole = hashlib.sha256()
        at = described
        done = 0
        pending = bytearray()
        for piece in self._reader.data():
            pending += self._raw.take(self._reader.offset)
            del piece
            while len(pending) >= CHUNK or (pending and done + len(pending) == entry.size):
                data = bytes(memoryview(pending)[:CHUNK])
                del pending[: len(data)]
                whole.update(data)
                self._chunk(data, at, done, entry.size)
                done += len(data)
                if done < entry.size:
                    at = TocEntry(described.name, "chunk")
                    self._entries.append(at)
        described.digest = f"sha256:{whole.hexdigest()}"

    def _chunk(self, data: bytes, at: TocEntry, offset: int, size: int) -> None:
        at.chunk_offset = offset
        at.chunk_size = len(data) if offset + len(data) < size else 0
        at.chunk_digest = sha256_of(data)
        self._count(data)
        self._members.chunk(data, at)

    def _landmark(self) -> None:
        """Nothing is to be fetched ahead."""
        entry = Entry(NO_PREFETCH_LANDMARK.encode())
        entry.size = entry.real_size = len(LANDMARK_CONTENTS)
        described = toc_entry(entry)
        described.digest = sha256_of(LANDMARK_CONTENTS)
        self._entries.append(described)
        header: list[bytes | memoryview] = []
        tar = TarWriter(header.append)
        tar.add(entry)
        tar.flush()
        self._add(b"".join(header))
        self._chunk(LANDMARK_CONTENTS, described, 0, entry.size)
        self._add(bytes(-entry.size % BLOCK))

    def _table(self, write: Callable[[bytes], object]) -> Facts:
        """The table of contents and the footer; everything else is written."""
        table = encode_toc(self._entries)
        start = self._members.offset
        tar = TarWriter(self._add)
        tar.file(TOC_NAME.encode(), table, mode=0o444)
        tar.finish()
        self._members.settle()
        write(footer(start))
        return Facts(Digest(f"sha256:{self._hash.hexdigest()}"), sha256_of(table), self._size)

    def _add(self, data: bytes | memoryview) -> None:
        self._count(data)
        self._members.add(data)

    def _add_much(self, data: bytes) -> None:
        self._add(data)
        self._members.end()

    def _count(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._size += len(data)


class _Recorded:
    """What a tar reader has read, to be had again up to the place where it is. What it passes over without an
    entry (the end of the archive, most of all) goes to `overflow`."""

    def __init__(self, read: Read, overflow: Callable[[bytes], None]) -> None:
        self._read = read
        self._overflow = overflow
        self._buffer = bytearray()
        self._start = 0

    def read(self, size: int) -> bytes:
        if len(self._buffer) > _MOST_UNREAD:
            self._overflow(self.rest())
        piece = self._read(size)
        self._buffer += piece
        return piece

    def take(self, offset: int) -> bytes:
        """From where the last call ended."""
        size = offset - self._start
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._start = offset
        return data

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._start + len(self._buffer))
