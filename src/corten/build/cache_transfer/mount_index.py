"""The files of a cache mount as an export knows them: what each is, and where its contents are.

Contents lie in packs: tars, each of whose members is named by its digest and is there once, whatever number
of files have it. So a file that only got another time or name, or is in another mount, does not travel again;
and a pack is never changed, only left out when too little of it is in use.

Extended attributes, devices, pipes and sockets stay behind.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from typing import Annotated

import msgspec

from corten.build.context.model import ContentCache, Stop
from corten.build.context.seen_file import stat_key
from corten.errors import IntegrityError
from corten.snapshot.tree import open_regular

DIRECTORY, REGULAR, LINK, HARD_LINK = "d", "f", "l", "h"
VERSION = 1
MAX_INDEX_BYTES = 64 << 20
MAX_INFLATED_INDEX_BYTES = 512 << 20

_PIECE = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Id = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Time = Annotated[int, msgspec.Meta(ge=-(1 << 62), lt=1 << 62)]


class MountFile(msgspec.Struct, frozen=True, array_like=True):
    """`path` is relative; empty for the mount's own directory, which comes first. `digest` (64 hexadecimal
    digits) is that of a regular file's contents, empty for none; `pack` says where they are. `target` is what
    a link says, or the path of the file that a hard link is another name of."""

    path: bytes
    kind: str
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
    uid: _Id
    gid: _Id
    mtime_ns: _Time
    size: _Natural = 0
    digest: str = ""
    target: bytes = b""
    pack: int = -1


class MountIndex(msgspec.Struct, frozen=True):
    """`packs` are the sizes of the contents in each pack, in bytes. Files are sorted, a directory before
    what is in it."""

    version: int
    files: tuple[MountFile, ...]
    packs: tuple[_Natural, ...] = ()


def decode_index(data: bytes, packs: int) -> MountIndex:
    """An index whose mount has this many packs. IntegrityError for what is none."""
    try:
        index = msgspec.json.decode(data, type=MountIndex)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a cache mount of the build cache is damaged: {error}") from error
    if index.version != VERSION or len(index.packs) != packs:
        raise IntegrityError("a cache mount of the build cache is damaged, or of a newer version")
    for file in index.files:
        if has_contents(file) and not (_HEX.fullmatch(file.digest) and 0 <= file.pack < packs):
            raise IntegrityError("a cache mount of the build cache is damaged: a file has no contents")
    return index


def has_contents(file: MountFile) -> bool:
    """Whether there is something of it in a pack."""
    return file.kind == REGULAR and file.size > 0


def scan(directory: int, contents: ContentCache | None, stop: Stop) -> list[MountFile]:
    """Everything in the directory behind this descriptor, with digests. Files that `contents` knows are not
    read. What vanishes meanwhile is left out."""
    return _Scan(contents, stop).run(directory)


class _Scan:
    def __init__(self, contents: ContentCache | None, stop: Stop) -> None:
        self._contents = contents
        self._stop = stop
        self._links: dict[tuple[int, int], bytes] = {}
        self._files: list[MountFile] = []

    def run(self, root: int) -> list[MountFile]:
        self._files.append(_described(b"", DIRECTORY, os.fstat(root)))
        self._children(root, b"")
        pending = [file.path for file in reversed(self._files[1:]) if file.kind == DIRECTORY]
        while pending:
            path = pending.pop()
            fd = open_directory(root, path)
            if fd is None:
                continue
            try:
                first = len(self._files)
                self._children(fd, path + b"/")
                pending += [file.path for file in reversed(self._files[first:]) if file.kind == DIRECTORY]
            finally:
                os.close(fd)
        return self._files

    def _children(self, directory: int, prefix: bytes) -> None:
        for name in sorted(os.listdir(b"/proc/self/fd/%d" % directory)):
            self._stop()
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                file = self._member(directory, name, prefix + name, status)
            except FileNotFoundError:
                continue
            if file is not None:
                self._files.append(file)

    def _member(self, directory: int, name: bytes, path: bytes, status: os.stat_result) -> MountFile | None:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            return _described(path, DIRECTORY, status)
        if kind == stat.S_IFLNK:
            return _described(path, LINK, status, target=os.readlink(name, dir_fd=directory))
        if kind != stat.S_IFREG:
            return None
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                return _described(path, HARD_LINK, status, target=first)
        digest = self._digest(directory, name, status) if status.st_size else ""
        if digest is None:
            return None
        return _described(path, REGULAR, status, size=status.st_size, digest=digest)

    def _digest(self, directory: int, name: bytes, status: os.stat_result) -> str | None:
        if self._contents is not None and (known := self._contents.find(stat_key(status))) is not None:
            return known.hex()
        seen = time.time_ns()
        fd = open_regular(name, directory)
        if fd is None:
            return None
        try:
            found = hashlib.sha256()
            while piece := os.read(fd, _PIECE):
                self._stop()
                found.update(piece)
            if stat_key(os.fstat(fd)) != stat_key(status):
                return None  # it is being written: the next export has it
        finally:
            os.close(fd)
        if self._contents is not None:
            self._contents.add(stat_key(status), found.digest(), seen)
        return found.hexdigest()


def open_directory(root: int, path: bytes) -> int | None:
    """A directory beneath `root` (empty: itself), no link on the way followed; None when there is none."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.dup(root)
    for part in path.split(b"/") if path else ():
        try:
            below = os.open(part, flags, dir_fd=fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        fd = below
    return fd


def _described(
    path: bytes,
    kind: str,
    status: os.stat_result,
    *,
    size: int = 0,
    digest: str = "",
    target: bytes = b"",
) -> MountFile:
    return MountFile(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        size,
        digest,
        target,
    )
