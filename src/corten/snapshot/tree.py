"""A directory tree that only its root's descriptor leads into: parents are opened component by component.

No component is ever followed as a symbolic link by the kernel (O_NOFOLLOW); a link that the archive itself
made is resolved here, beneath the root, however it is written. Names are bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from corten.errors import ArchiveError

Components = tuple[bytes, ...]

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHED = 256
_MAX_LINKS = 40


def split(name: bytes, max_component: int = 255) -> Components:
    """The components of a member's name; ArchiveError for `..` and over-long ones. Absolute names lose
    their slash."""
    parts = tuple([part for part in name.split(b"/") if part and part != b"."])
    if b".." in parts:
        raise ArchiveError(f"the archive is refused: member {show(name)} leaves its directory by '..'")
    for part in parts:
        if len(part) > max_component:
            raise ArchiveError(
                f"the archive is refused: member {show(name)} has a component of more than "
                f"{max_component} bytes"
            )
    return parts


def show(name: bytes) -> str:
    """A member's name for a message."""
    return repr(name[:200].decode("utf-8", "backslashreplace"))


class Tree:
    """Opens directories beneath `root_fd`, makes the missing ones, and keeps the last used open.

    `made` is told each one that was made, with its descriptor; `gives_way` says whether a file is no more
    than the mark of something that is missing, so that a directory may be made in its place.
    """

    def __init__(
        self,
        root_fd: int,
        made: Callable[[Components, int], None] | None = None,
        gives_way: Callable[[Components], bool] | None = None,
    ) -> None:
        self.root_fd = root_fd
        self._made = made
        self._gives_way = gives_way
        self._open: OrderedDict[Components, int] = OrderedDict()
        self._aliases: dict[Components, Components] = {}

    def close(self) -> None:
        """Closes every cached descriptor (not the root's)."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def directory(self, path: Components, *, make: bool = True) -> int:
        """A descriptor of the directory `path`, valid until the next call; missing ones are made (0755).

        FileNotFoundError without `make`; ArchiveError when a component is something else than a directory.
        """
        if not path:
            return self.root_fd
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        path = self.canonical(path, make=make)
        if not path:
            return self.root_fd
        return self._open[path]

    def canonical(self, path: Components, *, make: bool = True) -> Components:
        """`path` with the links in it resolved beneath the root; the directory is open and cached
        afterwards."""
        if path in self._open or not path:
            return path
        pending = list(reversed(path))
        done: list[bytes] = []
        fd = self.root_fd
        links = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                if done:
                    done.pop()
                fd = self._reopen(tuple(done))
                continue
            here = (*done, name)
            cached = self._open.get(here)
            if cached is not None:
                fd = cached
                done.append(name)
                continue
            try:
                fd = self._enter(fd, here, make)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                links += 1
                target = self._link(fd, here, links)
                if target.startswith(b"/"):
                    done, fd = [], self.root_fd
                pending += [part for part in reversed(target.split(b"/")) if part and part != b"."]
                continue
            done.append(name)
        return tuple(done)

    def forget(self, path: Components) -> None:
        """Drops what is cached of `path` and of everything below it: it is being replaced."""
        size = len(path)
        for known in [known for known in self._open if known[:size] == path]:
            os.close(self._open.pop(known))

    def _enter(self, parent: int, path: Components, make: bool) -> int:
        try:
            fd = os.open(path[-1], _OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            fd = self._make(parent, path)
        except NotADirectoryError:
            if not make or self._gives_way is None or not self._gives_way(path):
                raise
            os.unlink(path[-1], dir_fd=parent)
            fd = self._make(parent, path)
        self._open[path] = fd
        if len(self._open) > _CACHED:
            # Never what was opened last: the walk still needs it.
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
        return fd

    def _make(self, parent: int, path: Components) -> int:
        os.mkdir(path[-1], 0o755, dir_fd=parent)
        fd = os.open(path[-1], _OPEN_DIRECTORY, dir_fd=parent)
        try:
            if self._made is not None:
                self._made(path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _reopen(self, path: Components) -> int:
        fd = self.root_fd
        for end in range(1, len(path) + 1):
            cached = self._open.get(path[:end])
            fd = cached if cached is not None else self._enter(fd, path[:end], False)
        return fd

    def _link(self, parent: int, path: Components, links: int) -> bytes:
        name = b"/".join(path)
        if links > _MAX_LINKS:
            raise ArchiveError(f"the archive is refused: {show(name)} goes round in symbolic links")
        try:
            return os.readlink(path[-1], dir_fd=parent)
        except OSError:
            raise ArchiveError(
                f"the archive is refused: {show(name)} is used as a directory, but is none"
            ) from None


def open_regular(name: bytes, parent: int) -> int | None:
    """A regular file for reading; None when it is something else or gone.

    It is looked at before it is opened: to open a device has effects (a watchdog starts to count), and in a
    tree that lives, what is there now need not be what was there a moment ago.
    """
    try:
        path = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(path).st_mode):
            return None
        return os.open(b"/proc/self/fd/%d" % path, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(path)


def remove_tree(name: bytes | str, *, dir_fd: int | None = None) -> None:
    """Removes a file or a whole directory, without following links; nothing happens when it is not there."""
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
    _remove_directory(os.fsencode(name), dir_fd)


def _remove_directory(name: bytes, dir_fd: int | None) -> None:
    """Depth first, one descriptor per level at a time; iterative, for a tree may be deeper than Python's
    stack."""
    top = os.open(name, _OPEN_DIRECTORY, dir_fd=dir_fd)
    stack: list[tuple[int, bytes, list[bytes]]] = [(top, name, _clear_files(top))]
    try:
        while stack:
            fd, own, subdirectories = stack[-1]
            if subdirectories:
                child = subdirectories.pop()
                try:
                    child_fd = os.open(child, _OPEN_DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    continue
                stack.append((child_fd, child, _clear_files(child_fd)))
                continue
            stack.pop()
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(own, dir_fd=stack[-1][0] if stack else dir_fd)
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _clear_files(fd: int) -> list[bytes]:
    """Unlinks everything in a directory but its subdirectories, whose names it returns."""
    subdirectories: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                subdirectories.append(os.fsencode(entry.name))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.name, dir_fd=fd)
    return subdirectories
