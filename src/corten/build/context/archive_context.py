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


async def spool(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Writes an upload to the new file `path`. NoSpace."""
    fd = os.open(path, _CREATE, 0o600)
    try:
        async for piece in pieces:
            await asyncio.to_thread(_write, fd, piece)
    finally:
        os.close(fd)


def unpack_archive(path: Path, target: Path, *, stop: Stop | None = None) -> None:
    """Unpacks a tar, plain or compressed, into the empty directory `target`: nothing leads out of it, and
    everything belongs to who runs this. Blocks. ArchiveError, NoSpace."""
    archive = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            inflater = Inflater(lambda size: os.read(archive, size), what="build context")
            into = Into(owner=(os.geteuid(), os.getegid()))
            Unpacker(root, None, into=into).unpack(_ContextReader(inflater.read, stop))
        finally:
            os.close(root)
    finally:
        os.close(archive)


def is_archive(fd: int) -> bool:
    """Whether an open regular file begins as a tar does, compressed or not."""
    offset = 0

    def read(size: int) -> bytes:
        nonlocal offset
        piece = os.pread(fd, min(size, 1 << 16), offset)
        offset += len(piece)
        return piece

    try:
        return TarReader(Inflater(read).read).next() is not None
    except ArchiveError:
        return False


class _ContextReader(TarReader):
    """Without devices: a directory of the host's is no place for them."""

    def __init__(self, read: Read, stop: Stop | None) -> None:
        super().__init__(read, what="build context")
        self._stop = stop

    def next(self) -> Entry | None:
        """See TarReader."""
        while True:
            if self._stop is not None:
                self._stop()
            entry = super().next()
            if entry is None or entry.type not in (h.CHARACTER, h.BLOCK_DEVICE):
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
