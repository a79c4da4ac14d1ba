"""Contexts that come as archives: an upload, or what a URL yields, unpacked into a directory of the build's
own."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

from corten.build.context.model import Stop
from corten.errors import ArchiveError, NoSpace
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import Inflater, Read
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.unpack import Into, Unpacker

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DEVICES = frozenset({h.CHARACTER, h.BLOCK_DEVICE})
_NO_FILES = _DEVICES | {h.DIRECTORY, h.SYMLINK, h.FIFO}


async def spool(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Writes an upload to the new file `path`. NoSpace."""
    fd = os.open(path, _CREATE, 0o600)
    try:
        async for piece in pieces:
            await asyncio.to_thread(_write, fd, piece)
    finally:
        os.close(fd)


def unpack_archive(path: Path, target: Path, *, stop: Stop | None = None) -> int | None:
    """Unpacks a tar, plain or compressed, into the empty directory `target`: nothing leads out of it, and
    everything belongs to who runs this. Says the time (seconds since 1970) of its newest file, if it has any.
    Blocks. ArchiveError, NoSpace."""
    archive = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            inflater = Inflater(lambda size: os.read(archive, size), what="build context")
            into = Into(owner=(os.geteuid(), os.getegid()))
            reader = _ContextReader(inflater.read, stop)
            Unpacker(root, None, into=into).unpack(reader)
            return reader.newest
        finally:
            os.close(root)
    finally:
        os.close(archive)


def is_archive(fd: int) -> bool:
    """Whether an open regular file begins as a tar does, compressed or not."""
    try:
        return TarReader(Inflater(_reading(fd)).read).next() is not None
    except ArchiveError:
        return False


def newest_file(fd: int, *, stop: Stop | None = None) -> int | None:
    """The time (seconds since 1970) of the newest file in an archive; None for what is none. Blocks."""
    reader = _ContextReader(Inflater(_reading(fd)).read, stop)
    try:
        while reader.next() is not None:
            pass
    except ArchiveError:
        return None
    return reader.newest


def _reading(fd: int) -> Read:
    offset = 0

    def read(size: int) -> bytes:
        nonlocal offset
        piece = os.pread(fd, min(size, 1 << 16), offset)
        offset += len(piece)
        return piece

    return read


class _ContextReader(TarReader):
    """Without devices: a directory of the host's is no place for them. `newest` is the time of the newest
    file so far (seconds since 1970)."""

    def __init__(self, read: Read, stop: Stop | None) -> None:
        super().__init__(read, what="build context")
        self._stop = stop
        self.newest: int | None = None

    def next(self) -> Entry | None:
        """See TarReader."""
        while True:
            if self._stop is not None:
                self._stop()
            entry = super().next()
            if entry is None:
                return None
            if entry.type not in _NO_FILES:
                time = entry.mtime_ns // 1_000_000_000
                self.newest = time if self.newest is None else max(self.newest, time)
            if entry.type not in _DEVICES:
                return entry


def _write(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("cannot take in the build context: the disk is full") from error
        raise
