"""Where the contents of regular files are: in the layer's own tar, or copied into the image.

A tar aligns contents to 512 bytes, so an image with blocks of 512 can point into it (Linux 6.4), and a plain
tar need not even be read. But st_blksize is 512 then, which is what stdio and Python's open() take for the
size of their buffers: to read a file of 20 MB line by line took 41 ms instead of 12. So contents are copied,
aligned to 4096, unless somebody asks for the other way: of a compressed layer, there is as much to write.
Layers that are built here have it both ways: their tars are made so that large contents begin at whole blocks
of 4096, and stay there; the small ones between them are copied.
Sparse files are cut into chunks in either case; the chunks that are not all zeros are copied, into a file
that has holes itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from corten.errors import ArchiveError
from corten.snapshot.erofs import disk_format as d
from corten.snapshot.erofs.node import File
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tree import show

START = 4096  # behind the superblock
ALIGN = 4096
LARGE = 64 << 10
"""From this size on, contents stay in a tar that aligns them."""

_MAX_CHUNKS = 1 << 16
_TOGETHER = 1 << 20
_MAX_PIECES = 1024  # of one pwritev: IOV_MAX
_ZEROS = memoryview(bytes(ALIGN))


class Contents(Protocol):
    """What `layer_tree.LayerTree` calls; `end` is where the image goes on behind what was copied."""

    end: int

    def __call__(self, entry: Entry, node: File) -> None: ...

    def flush(self) -> None:
        """Call it at the end."""
        ...


class Copied:
    """Contents go into the image `fd`, aligned; blocks have `block_bits`."""

    def __init__(self, fd: int, reader: TarReader, block_bits: int) -> None:
        self.end = START
        self._fd = fd
        self._reader = reader
        self._block_bits = block_bits
        # Small files are written together.
        self._pending: list[bytes | memoryview] = []
        self._pending_at = START
        self._pending_size = 0

    def __call__(self, entry: Entry, node: File) -> None:
        if entry.sparse is not None:
            self._sparse(entry, node, entry.sparse)
            return
        node.block = self._allocate(entry, entry.size)
        for piece in self._reader.data():
            self._pending.append(piece)
            self._pending_size += len(piece)
            if self._pending_size >= _TOGETHER:
                self.flush()
        padding = -entry.size % ALIGN
        if padding:
            self._pending.append(_ZEROS[:padding])
            self._pending_size += padding

    def flush(self) -> None:
        """See Contents."""
        at = self._pending_at
        for start in range(0, len(self._pending), _MAX_PIECES):
            pieces = self._pending[start : start + _MAX_PIECES]
            size = sum(map(len, pieces))
            written = os.pwritev(self._fd, pieces, at)
            if written < size:
                _write(self._fd, memoryview(b"".join(pieces))[written:], at + written)
            at += size
        self._pending_at += self._pending_size
        self._pending.clear()
        self._pending_size = 0

    def _allocate(self, entry: Entry, size: int) -> int:
        start = self.end
        self.end = (start + size + ALIGN - 1) // ALIGN * ALIGN
        if self.end >> self._block_bits > d.MAX_BLOCKS:
            raise ArchiveError(
                f"the archive is refused at {show(entry.name)}: the layer needs more than "
                f"{d.MAX_BLOCKS << self._block_bits} bytes of address space"
            )
        return start >> self._block_bits

    def _sparse(self, entry: Entry, node: File, regions: list[tuple[int, int]]) -> None:
        self.flush()
        bits = _chunk_bits(entry.real_size, regions, self._block_bits)
        used = sorted(_chunks_of(regions, bits))
        first = self._allocate(entry, len(used) << bits) if used else 0
        chunks = [d.HOLE] * (((entry.real_size - 1) >> bits) + 1)
        for position, chunk in enumerate(used):
            chunks[chunk] = first + (position << (bits - self._block_bits))
        node.chunks, node.chunk_bits = chunks, bits
        pieces = _Pieces(self._reader)
        for offset, length in regions:
            while length:
                size = min(length, (1 << bits) - (offset & ((1 << bits) - 1)))
                inside = offset & ((1 << bits) - 1)
                pieces.copy(self._fd, (chunks[offset >> bits] << self._block_bits) + inside, size)
                offset += size
                length -= size
        self._pending_at = self.end


class InTar:
    """Contents stay in the tar, the image's second device; only sparse files' are copied."""

    def __init__(self, fd: int, reader: TarReader) -> None:
        self._copied = Copied(fd, reader, 9)
        self._reader = reader

    @property
    def end(self) -> int:
        """See Contents."""
        return self._copied.end

    def flush(self) -> None:
        """See Contents."""

    def __call__(self, entry: Entry, node: File) -> None:
        if entry.sparse is not None:
            self._copied(entry, node)
            return
        node.device = 1
        node.block = self._reader.offset >> 9


class AlignedInTar:
    """Large contents stay in the tar, the image's second device, where they begin at a whole block of ALIGN;
    all others are copied."""

    def __init__(self, fd: int, reader: TarReader) -> None:
        self._bits = ALIGN.bit_length() - 1
        self._copied = Copied(fd, reader, self._bits)
        self._reader = reader
        self.flush = self._copied.flush

    @property
    def end(self) -> int:
        """See Contents."""
        return self._copied.end

    def __call__(self, entry: Entry, node: File) -> None:
        if entry.size < LARGE or entry.sparse is not None or self._reader.offset % ALIGN:
            self._copied(entry, node)
            return
        node.device = 1
        node.block = self._reader.offset >> self._bits


class _Pieces:
    """Copies from what the reader hands out, however it is cut."""

    def __init__(self, reader: TarReader) -> None:
        self._source = iter(reader.data())
        self._left = memoryview(b"")

    def copy(self, fd: int, offset: int, size: int) -> None:
        while size:
            if not self._left:
                self._left = next(self._source)
            piece = self._left[:size]
            self._left = self._left[len(piece) :]
            _write(fd, piece, offset)
            offset += len(piece)
            size -= len(piece)


def _chunk_bits(size: int, regions: list[tuple[int, int]], block_bits: int) -> int:
    """Chunks small enough to keep holes, large enough that the map of them stays small."""
    whole = max((size - 1).bit_length(), 12)
    if any(length for _offset, length in regions):
        whole = min(whole, max(12, whole - _MAX_CHUNKS.bit_length() + 1))
    return min(whole, block_bits + d.MAX_CHUNK_BITS)


def _chunks_of(regions: Iterable[tuple[int, int]], bits: int) -> set[int]:
    used: set[int] = set()
    for offset, length in regions:
        if length:
            used.update(range(offset >> bits, ((offset + length - 1) >> bits) + 1))
    return used


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data = data[written:]
        offset += written
