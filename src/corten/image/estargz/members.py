"""The gzip members of an eStargz layer: compressed side by side, written one after the other."""

from __future__ import annotations

import os
import struct
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from isal import isal_zlib

from corten.image.compression import GZIP_HEADER, Write, raw_deflate
from corten.image.estargz.toc import TocEntry

_SMALL = 32 << 10
"""Compressed at once: handing it over would take longer."""


class Members:
    """Hands gzip members to `write`, in order; `offset` is where the next one begins, once `settle` was
    called. Every member depends on its bytes and the level alone."""

    def __init__(self, level: int, write: Write) -> None:
        self._level = level
        self._write = write
        threads = min(os.cpu_count() or 1, 4)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="estargz")
        self._limit = threads + 2
        self._pending: deque[tuple[Future[bytes] | bytes, TocEntry | None]] = deque()
        self._open: _Stream | None = None
        self.offset = 0

    def add(self, data: bytes | memoryview) -> None:
        """Some more of a member that ends with the next `chunk`, `end` or `settle`."""
        if data:
            if self._open is None:
                self._open = _Stream(self._level)
            self._open.add(data)

    def end(self) -> None:
        """The next bytes are those of another member: one is kept in memory until it ends."""
        if self._open is not None:
            stream, self._open = self._open, None
            self._queue(stream.end(), None)

    def chunk(self, data: bytes, entry: TocEntry) -> None:
        """A member of its own; `entry` learns where it begins, at the latest when all is settled."""
        self.end()
        if len(data) <= _SMALL:
            self._queue(_member(self._level, data), entry)
        else:
            self._queue(self._pool.submit(_member, self._level, data), entry)

    def settle(self) -> None:
        """Everything that was added is written."""
        self.end()
        while self._pending:
            self._next()

    def close(self) -> None:
        """Lets go of the threads; after an error, too."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _queue(self, member: Future[bytes] | bytes, entry: TocEntry | None) -> None:
        self._pending.append((member, entry))
        while self._pending and (len(self._pending) > self._limit or isinstance(self._pending[0][0], bytes)):
            self._next()

    def _next(self) -> None:
        member, entry = self._pending.popleft()
        data = member if isinstance(member, bytes) else member.result()
        if entry is not None:
            entry.offset = self.offset
        self._write(data)
        self.offset += len(data)


class _Stream:
    """One gzip member, bit by bit."""

    def __init__(self, level: int) -> None:
        self._deflate = raw_deflate(level)
        self._parts = [GZIP_HEADER]
        self._check = 0
        self._size = 0

    def add(self, data: bytes | memoryview) -> None:
        self._check = isal_zlib.crc32(data, self._check)
        self._size += len(data)
        self._parts.append(self._deflate.compress(data))

    def end(self) -> bytes:
        trailer = struct.pack("<II", self._check, self._size & 0xFFFFFFFF)
        return b"".join([*self._parts, self._deflate.flush(), trailer])


def _member(level: int, data: bytes) -> bytes:
    stream = _Stream(level)
    stream.add(data)
    return stream.end()
