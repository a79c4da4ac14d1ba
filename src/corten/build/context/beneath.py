"""Opening what lies in a tree, from its root's descriptor: nothing leads out of it, whatever somebody changes
meanwhile. Paths are relative, without a link in them; the empty one is the root itself."""

from __future__ import annotations

import errno
import os

from corten.errors import Conflict, CortenError, Denied
from corten.linux.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)

_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A file may be a pipe by now: to open one must not block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def open_directory(root: int, path: str) -> int:
    """A descriptor that can be listed; OSError."""
    return openat2(root, os.fsencode(path) or b".", _DIRECTORY, _RESOLVE)


def open_place(root: int, path: str) -> int | None:
    """A descriptor (O_PATH) of whatever is there, a link itself as well; None when nothing is."""
    try:
        return openat2(root, os.fsencode(path) or b".", os.O_PATH | os.O_NOFOLLOW, _RESOLVE)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def open_file(directory: int, name: str) -> int:
    """A regular file, or what is in its place by now; OSError."""
    return os.open(name, _FILE, dir_fd=directory)


class Directories:
    """Directories of a tree, opened one after the other: the last one stays open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path: str | None = None
        self._fd = -1

    def __call__(self, path: str) -> int:
        """The directory `path`, valid until the next call; OSError."""
        if path != self._path:
            fd = open_directory(self._root, path)
            self.close()
            self._path, self._fd = path, fd
        return self._fd

    def close(self) -> None:
        """Closes the last one."""
        if self._fd >= 0:
            os.close(self._fd)
        self._path, self._fd = None, -1


def explain(error: OSError, path: str, tree: str) -> CortenError:
    """What to tell about `path` in the tree with this name: it changed under our hands, or may not be
    read."""
    shown = show(path)
    if error.errno in _GONE:
        return changed(path, tree)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Denied(
            f"cannot read {shown} in {tree}: permission denied; change its rights, or leave it out by a "
            ".dockerignore"
        )
    return CortenError(f"cannot read {shown} in {tree}: {error.strerror}")


def changed(path: str, tree: str) -> Conflict:
    """The error for what is another than it was a moment ago."""
    return Conflict(
        f"{show(path)} in {tree} changed while it was read: wait until nothing writes to it, or leave it out "
        "by a .dockerignore, and build again"
    )


def show(path: str) -> str:
    """A path for a message: control characters and bytes that are no UTF-8 escaped."""
    return repr(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") or "/")
