"""Streams of bytes out of gzip (isal), zstd, bzip2, xz or plain data, told apart by magic and held to
limits."""

from __future__ import annotations

import bz2
import lzma
import os
from collections.abc import Callable
from typing import Any, Protocol

import zstandard
from isal import igzip_lib

from corten.errors import ArchiveError
from corten.snapshot.limits import DEFAULT_LIMITS, Limits

PIECE = 1 << 20
"""How much is read and inflated at a time."""

_MAX_OUTPUT = 2 << 20
_MAX_WINDOW = 128 << 20

_ISAL_ERROR: Any = igzip_lib.error  # its stubs have an instance
_ERRORS: tuple[type[Exception], ...] = (
    _ISAL_ERROR,
    zstandard.ZstdError,
    lzma.LZMAError,
    OSError,
    EOFError,
)

Read = Callable[[int], bytes]
"""Up to n bytes; b"" at the end."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)


class _Decompressor(Protocol):
    """What bz2's and lzma's decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


def compression_of(head: bytes) -> str:
    """`gzip`, `zstd`, `bzip2`, `xz` or `plain`, by the first bytes (zstd's skippable frames included)."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"
    return "plain"


class Inflater:
    """Reads inflated bytes from `source`; `consumed` and `produced` count what went in and came out."""

    def __init__(self, source: Read, *, limits: Limits = DEFAULT_LIMITS, what: str = "archive") -> None:
        self._source = source
        self._limits = limits
        self._what = what
        self.consumed = 0
        self.produced = 0
        head = b""
        while len(head) < 6 and (piece := source(PIECE)):
            head += piece
        self._head = head
        self.compression = compression_of(head)
        if self.compression == "plain":
            self._inner: Read = self._raw
        elif self.compression == "zstd":
            self._inner = self._zstd()
        else:
            self._members = _Members(self._raw, self._new_decompressor, what)
            self._inner = self._members.read

    def read(self, size: int = PIECE) -> bytes:
        """Up to `size` bytes; b"" at the end; ArchiveError for damage, truncation and bombs."""
        try:
            data = self._inner(size)
        except _ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ArchiveError(f"the {self._what} is damaged: {self.compression} says: {error}") from error
        self.produced += len(data)
        if self.produced > self._limits.ratio_after and self.produced > self.consumed * self._limits.ratio:
            raise ArchiveError(
                f"the {self._what} inflates more than {self._limits.ratio} times, to over "
                f"{self.produced} bytes: refused as a decompression bomb"
            )
        if self.produced > self._limits.max_bytes:
            raise ArchiveError(
                f"the {self._what} inflates to more than the limit of {self._limits.max_bytes} bytes"
            )
        return data

    def _raw(self, size: int) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
        else:
            piece = self._source(size)
        self.consumed += len(piece)
        return piece

    def _new_decompressor(self) -> _Decompressor:
        if self.compression == "gzip":
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        if self.compression == "bzip2":
            return bz2.BZ2Decompressor()
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=512 << 20)

    def _zstd(self) -> Read:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        members = _Members(self._raw, lambda: _Zstd(decompressor), self._what)
        return members.read


class _Zstd:
    """zstandard's decompressobj (frame by frame) with the interface of bz2's; its output per piece is
    bounded by feeding it little at a time: 4 bytes (a block of equal bytes) inflate to 128 KiB at most."""

    _STEP = 1024

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._object = decompressor.decompressobj()
        self._tail = b""

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self.eof

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data) + self._tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        data = self._tail + data if self._tail else data
        result = bytearray()
        position = 0
        while position < len(data) and not self.eof and len(result) < max_length:
            result += self._object.decompress(data[position : position + self._STEP])
            position += self._STEP
        self._tail = data[position:]
        return bytes(result)


class _Members:
    """Concatenated gzip members, bzip2 streams or xz streams, inflated in bounded pieces."""

    def __init__(self, raw: Read, new: Callable[[], _Decompressor], what: str) -> None:
        self._raw = raw
        self._new = new
        self._what = what
        self._current = new()
        self._pending = b""
        self._begun = False

    def read(self, size: int) -> bytes:
        """At least one byte, unless the end is reached."""
        while True:
            if self._current.eof:
                self._pending = self._current.unused_data.lstrip(b"\0") or self._pending
                if not self._pending and not (self._next_raw()):
                    return b""
                self._current, self._begun = self._new(), False
            if self._current.needs_input and not self._pending and not self._next_raw():
                if not self._begun:
                    return b""
                raise EOFError("it ends in the middle (truncated)")
            data, self._pending = self._pending, b""
            self._begun = True
            output = self._current.decompress(data, max(size, _MAX_OUTPUT))
            if output:
                return output

    def _next_raw(self) -> bool:
        while piece := self._raw(PIECE // 4):
            if self._current.eof:
                piece = piece.lstrip(b"\0")
            if piece:
                self._pending = piece
                return True
        return False


def read_fd(fd: int) -> Read:
    """A Read over a file descriptor."""

    def read(size: int) -> bytes:
        return os.read(fd, size)

    return read
