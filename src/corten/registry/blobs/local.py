"""Blobs as files. What counts was fsynced, then renamed; directories are fsynced as well.

<root>/uploads/<id>.part        an upload; locked (flock) by the request that appends to it
<root>/blobs/<algorithm>/<ab>/<hex>.<id>
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from corten.errors import Conflict, NoSpace, NotFound, Unavailable
from corten.registry.blobs.store import Adopted, Stored

PIECE = 1 << 20
WRITE_OUT = 8 << 20
_IOV_MAX = 512
_FICLONE = 0x40049409  # ioctl_ficlone(2)


def _failure(error: OSError, what: str) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"cannot {what}: no space left on the registry's disk")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"cannot {what}: it is not in the registry's storage")
    return Unavailable(f"cannot {what}: {error.strerror}")


class _FileAppender:
    def __init__(self, path: str, offset: int) -> None:
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if offset == 0 else 0)
        self._fd = os.open(path, flags, 0o600)
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("another request is sending to this upload") from None
            if os.fstat(self._fd).st_size < offset:
                raise NotFound("the upload's bytes are not in the registry's storage")
            os.ftruncate(self._fd, offset)
            os.lseek(self._fd, offset, os.SEEK_SET)
            # What counts; what the disk has begun to write; what was written.
            self._offset = self._begun = self._end = offset
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            for begin in range(0, len(pieces), _IOV_MAX):
                self._write(pieces[begin : begin + _IOV_MAX])
            if self._end - self._begun >= WRITE_OUT:
                # The disk begins with it while more comes in, and has less to do at the commit. (The advice
                # that it is not needed makes the kernel write out what is dirty, and that stays in memory.)
                os.posix_fadvise(self._fd, self._begun, self._end - self._begun, os.POSIX_FADV_DONTNEED)
                self._begun = self._end
        except OSError as error:
            raise _failure(error, "store an upload") from error

    def _write(self, pieces: Sequence[bytes | memoryview]) -> None:
        wanted = sum(map(len, pieces))
        self._end += wanted
        written = os.writev(self._fd, pieces)
        if written < wanted:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def commit(self) -> str:
        try:
            os.fsync(self._fd)
            self._offset = self._end
        except OSError as error:
            raise _failure(error, "store an upload") from error
        return ""

    def close(self) -> None:
        if self._fd >= 0:
            # The room of what does not count is given back at once: the disk may be full because of it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._offset)
            os.close(self._fd)
            self._fd = -1


class LocalBlobs:
    """Blobs below a directory."""

    name = "local files"

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._uploads = f"{self._root}/uploads"
        os.makedirs(self._uploads, mode=0o700, exist_ok=True)
        os.makedirs(f"{self._root}/blobs", mode=0o700, exist_ok=True)
        _make_prefixes(f"{self._root}/blobs/sha256")

    def _part(self, upload: str) -> str:
        return f"{self._uploads}/{upload}.part"

    def append(self, upload: str, offset: int, state: str) -> _FileAppender:
        try:
            return _FileAppender(self._part(upload), offset)
        except OSError as error:
            raise _failure(error, "go on with an upload") from error

    def read_upload(self, upload: str, state: str, length: int) -> Iterator[bytes]:
        return self._pieces(self._part(upload), length)

    def _pieces(self, path: str, length: int = -1) -> Iterator[bytes]:
        try:
            with open(path, "rb", buffering=0) as file:
                while length and (piece := file.read(min(PIECE, length) if length > 0 else PIECE)):
                    length -= len(piece) if length > 0 else 0
                    yield piece
        except OSError as error:
            raise _failure(error, "read from the registry's storage") from error

    def publish(self, upload: str, state: str, size: int, location: str) -> None:
        part, target = self._part(upload), f"{self._root}/{location}"
        directory = os.path.dirname(target)
        try:
            try:
                found = os.stat(part).st_size
            except FileNotFoundError:
                if size == 0:
                    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                    found = 0
                elif os.stat(target).st_size == size:
                    return  # a crash came between this and the commit
                else:
                    raise
            if found != size:
                raise NotFound("the upload's bytes are not in the registry's storage")
            _make_directory(directory)
            os.rename(part, target)
            _sync_directory(directory)
        except OSError as error:
            raise _failure(error, "store a blob") from error

    def adopt(self, path: str, location: str) -> Adopted:
        target = f"{self._root}/{location}"
        try:
            _make_directory(os.path.dirname(target))
            how = _link(path, target)
            _sync_directory(os.path.dirname(target))
        except OSError as error:
            self._unlink(target)
            raise _failure(error, "take over a blob") from error
        return how

    def discard(self, upload: str) -> None:
        self._unlink(self._part(upload))

    def size(self, location: str) -> int | None:
        try:
            return os.stat(f"{self._root}/{location}").st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failure(error, "look into the registry's storage") from error

    def delete(self, location: str) -> None:
        self._unlink(f"{self._root}/{location}")

    def _unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failure(error, "delete from the registry's storage") from error

    def read(self, location: str) -> Iterator[bytes]:
        return self._pieces(f"{self._root}/{location}")

    def list(self) -> Iterator[Stored]:
        for top in ("uploads", "blobs"):
            for directory, _directories, names in os.walk(f"{self._root}/{top}"):
                for name in names:
                    path = f"{directory}/{name}"
                    try:
                        found = os.stat(path)
                    except FileNotFoundError:
                        continue
                    yield Stored(path[len(self._root) + 1 :], found.st_size, found.st_mtime)

    def local_path(self, location: str) -> str:
        return f"{self._root}/{location}"

    def upload_path(self, upload: str) -> str:
        return self._part(upload)

    def signed_url(self, location: str, seconds: int) -> None:
        return None

    async def stream(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        # For connections that sendfile(2) cannot serve (TLS). From the page cache this does not wait.
        try:
            with open(f"{self._root}/{location}", "rb", buffering=0) as file:
                file.seek(start)
                while start < end and (piece := file.read(min(PIECE, end - start))):
                    start += len(piece)
                    yield piece
        except OSError as error:
            raise _failure(error, "read from the registry's storage") from error

    def check_writable(self) -> None:
        free = os.statvfs(self._uploads)
        if free.f_bavail * free.f_frsize < PIECE:
            raise NoSpace("no space left on the registry's disk")
        if not os.access(self._uploads, os.W_OK):
            raise Unavailable("the registry's storage cannot be written to")


def _make_prefixes(path: str) -> None:
    """All directories for blobs at once: made one by one, each would cost the push that needs it first two
    writes to the disk."""
    if os.path.isdir(path):
        return
    for number in range(256):
        os.makedirs(f"{path}/{number:02x}", mode=0o700, exist_ok=True)
    for made in (path, os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        _sync_directory(made)


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
        for parent in (os.path.dirname(os.path.dirname(path)), os.path.dirname(path)):
            _sync_directory(parent)


def _link(path: str, target: str) -> Adopted:
    try:
        os.link(path, target, follow_symlinks=False)
        return Adopted.LINKED
    except OSError as error:
        # Another file system, too many links, or somebody else's file (fs.protected_hardlinks).
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP):
            raise
    with open(path, "rb", buffering=0) as source:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as copy:
            try:
                fcntl.ioctl(copy, _FICLONE, source.fileno())
                how = Adopted.CLONED
            except OSError:
                shutil.copyfileobj(source, copy, PIECE)
                how = Adopted.COPIED
            os.fsync(copy.fileno())
    return how


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
