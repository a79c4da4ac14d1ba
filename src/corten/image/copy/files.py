"""Files inside a tar archive or a directory, by name and from any offset."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from corten.errors import ArchiveError, NotFound
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import Inflater, compression_of, read_fd
from corten.snapshot.tar_reader import TarReader

PIECE = 1 << 20
_MAX_DOCUMENT = 8 << 20
_MAX_LINKS = 16


class Files(Protocol):
    """Named files to be read; names are relative and have slashes."""

    def size(self, name: str) -> int:
        """In bytes; -1 when there is no such file."""
        ...

    def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from an offset on. NotFound."""
        ...

    def close(self) -> None:
        """Closes what is open."""
        ...


async def document(files: Files, name: str, where: str) -> bytes:
    """A small file (JSON) as a whole. ArchiveError when it is missing or too large."""
    size = files.size(name)
    if size < 0:
        raise ArchiveError(f"{where} is incomplete: {name} is missing")
    if size > _MAX_DOCUMENT:
        raise ArchiveError(f"{where} is refused: {name} has {size} bytes")
    return b"".join([piece async for piece in files.read(name)])


class DirectoryFiles:
    """The files below a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, name: str) -> int:
        path = self._root / name
        return path.stat().st_size if path.is_file() else -1

    async def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        try:
            fd = os.open(self._root / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"cannot read {self._root / name}: {error.strerror}") from error
        try:
            async for piece in _pieces(fd, offset, os.fstat(fd).st_size):
                yield piece
        finally:
            os.close(fd)

    def close(self) -> None:
        """Nothing is kept open."""


class TarFiles:
    """The files of a tar; a compressed one is inflated into a temporary file first, for it has no offsets."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"cannot read {path}: {error.strerror}") from error
        try:
            if compression_of(os.pread(self._fd, 6, 0)) != "plain":
                self._inflate()
            self._files: dict[str, tuple[int, int]] = {}
            self._links: dict[str, str] = {}
            self._scan()
        except BaseException:
            os.close(self._fd)
            raise

    def _inflate(self) -> None:
        with tempfile.TemporaryFile(dir=os.environ.get("TMPDIR", "/var/tmp")) as file:
            inflater = Inflater(read_fd(self._fd), what=self._path)
            while piece := inflater.read(PIECE):
                file.write(piece)
            file.flush()
            os.close(self._fd)
            self._fd = os.dup(file.fileno())

    def _scan(self) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        reader = TarReader(read_fd(self._fd), require_end=True, what=self._path)
        for entry in reader:
            name = _clean(os.fsdecode(entry.name))
            if entry.type == h.SYMLINK:
                target = os.fsdecode(entry.linkname)
                base = "" if target.startswith("/") else name.rpartition("/")[0]
                self._links[name] = os.path.normpath(f"{base}/{target}").lstrip("/")
            elif entry.type == h.HARD_LINK:
                self._links[name] = _clean(os.fsdecode(entry.linkname))
            elif entry.type in (h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS):
                self._files[name] = (reader.offset, entry.size)

    def _find(self, name: str) -> tuple[int, int] | None:
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            if name in self._files or name not in self._links:
                return self._files.get(name)
            name = self._links[name]
        raise ArchiveError(f"{self._path} is refused: {name!r} goes round in links")

    def size(self, name: str) -> int:
        found = self._find(name)
        return found[1] if found is not None else -1

    async def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        found = self._find(name)
        if found is None:
            raise NotFound(f"{self._path} holds no {name}")
        start, size = found
        async for piece in _pieces(self._fd, start + offset, start + size):
            yield piece

    def close(self) -> None:
        os.close(self._fd)


async def _pieces(fd: int, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        piece = await asyncio.to_thread(os.pread, fd, min(PIECE, end - start), start)
        if not piece:
            raise ArchiveError("a file became shorter while it was read")
        start += len(piece)
        yield piece


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
