"""How layers are compressed on their way out of the store.

The same tar gives the same bytes whatever the number of processors: gzip is cut into pieces of 1 MiB, each
of which only knows the 32 KiB before it, so that they are compressed side by side; the header has neither a
name nor a time.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import msgspec
import zstandard
from isal import isal_zlib

from corten.errors import InvalidArgument
from corten.oci.manifest import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
)

Write = Callable[[bytes], object]

KINDS = ("uncompressed", "gzip", "estargz", "zstd")
HIGHEST_LEVEL = {"gzip": 9, "estargz": 9, "zstd": 22}

_PIECE = 1 << 20
_WINDOW = 32 << 10
_FASTEST_LEVELS = 3
"""ISA-L's levels; the higher ones are zlib's."""
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of a member without name and time."""
_DEFAULT_LEVEL = {"gzip": 2, "estargz": 2, "zstd": 3}
_LAST_BLOCK = b"\x03\x00"


class Compression(msgspec.Struct, frozen=True):
    """`kind` is one of KINDS. `level` None: the default. `force`: layers that are compressed already are
    made anew in this way."""

    kind: str = "uncompressed"
    level: int | None = None
    force: bool = False

    def media_type(self, *, oci: bool) -> str:
        """Of a layer that is compressed so. zstd is known to OCI alone."""
        if self.kind == "zstd":
            return OCI_LAYER_ZSTD
        if self.kind in ("gzip", "estargz"):
            return OCI_LAYER_GZIP if oci else DOCKER_LAYER_GZIP
        return OCI_LAYER if oci else DOCKER_LAYER

    @property
    def effective_level(self) -> int:
        """The level that is used; 0 for plain tars."""
        return _DEFAULT_LEVEL.get(self.kind, 0) if self.level is None else self.level


PLAIN = Compression()
GZIP = Compression("gzip")


class Compressor(Protocol):
    """Hands compressed bytes to the function that it was made with."""

    def write(self, data: bytes) -> None:
        """Some more of the plain bytes."""
        ...

    def finish(self) -> None:
        """The end of them."""
        ...

    def close(self) -> None:
        """Lets go of threads; after an error, too."""
        ...


def compressor(compression: Compression, write: Write) -> Compressor:
    """What compresses so. (eStargz needs to know a tar's members: `estargz.writer`.)"""
    if compression.kind == "gzip":
        return _Gzip(compression.effective_level, write)
    if compression.kind == "zstd":
        return _Zstandard(compression.effective_level, write)
    raise InvalidArgument(f"nothing compresses {compression.kind}")


class _Gzip:
    """Blocks that are deflated by threads and put together to one stream (as pigz does it)."""

    def __init__(self, level: int, write: Write) -> None:
        self._level = level
        self._write = write
        threads = min(os.cpu_count() or 1, 4)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gzip")
        self._limit = threads + 2
        self._pending: deque[Future[bytes]] = deque()
        self._buffer = bytearray()
        self._before = b""
        self._check = 0
        self._size = 0
        self._write(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _PIECE:
            piece = bytes(memoryview(self._buffer)[:_PIECE])
            del self._buffer[:_PIECE]
            self._submit(piece)

    def finish(self) -> None:
        if self._buffer:
            self._submit(bytes(self._buffer))
            self._buffer.clear()
        while self._pending:
            self._write(self._pending.popleft().result())
        self._write(_LAST_BLOCK + struct.pack("<II", self._check, self._size & 0xFFFFFFFF))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, piece: bytes) -> None:
        while len(self._pending) >= self._limit:
            self._write(self._pending.popleft().result())
        self._check = isal_zlib.crc32(piece, self._check)
        self._size += len(piece)
        self._pending.append(self._pool.submit(_deflate, piece, self._before, self._level))
        self._before = piece[-_WINDOW:]


def _deflate(piece: bytes, before: bytes, level: int) -> bytes:
    """Whole deflate blocks that end at a byte's border, and none of which is the last."""
    deflate = raw_deflate(level, before)
    return bytes(deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH))


def raw_deflate(level: int, before: bytes = b"") -> Any:
    """A `zlib.compressobj` without header and trailer; `before` is what came before, at most 32 KiB."""
    # Level 0 of ISA-L compresses; zlib's stores, which is what is meant.
    library: Any = isal_zlib if 0 < level <= _FASTEST_LEVELS else zlib
    options = {"zdict": before} if before else {}
    return library.compressobj(level, wbits=-15, **options)


class _Zstandard:
    """One frame. The number of threads changes nothing in what comes out, as long as there is one."""

    def __init__(self, level: int, write: Write) -> None:
        self._write = write
        threads = min(os.cpu_count() or 1, 4)
        self._frame = zstandard.ZstdCompressor(
            level=level, threads=threads, write_checksum=True
        ).compressobj()

    def write(self, data: bytes) -> None:
        if out := self._frame.compress(data):
            self._write(out)

    def finish(self) -> None:
        self._write(self._frame.flush())

    def close(self) -> None:
        """The frame's threads end with it."""
