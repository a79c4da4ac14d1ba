"""A directory that becomes what an archive is: what else is in it goes. No symbolic link is followed."""

from __future__ import annotations

import os
import shutil
import stat

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Mirror:
    """`root` is a descriptor of the directory; it stays the caller's."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._come: set[str] = set()

    def expect(self, path: str, *, is_directory: bool) -> None:
        """`path` is about to be written: what is there of another kind goes, and so does what is no directory
        where one leads to it."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            return  # the member will be refused
        self._come.update("/".join(parts[: count + 1]) for count in range(len(parts)))
        current = os.dup(self._root)
        try:
            for position, part in enumerate(parts):
                is_parent = position < len(parts) - 1
                found = os.stat(part, dir_fd=current, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode) != (is_parent or is_directory):
                    _remove(part, current)
                    return
                if is_parent:
                    child = os.open(part, _FLAGS, dir_fd=current)
                    os.close(current)
                    current = child
        except FileNotFoundError:
            pass  # nothing is in the way
        finally:
            os.close(current)

    def remove_others(self) -> None:
        """The archive is complete: what it has not is removed."""
        for directory, folders, files, fd in os.fwalk(
            ".", onerror=_raise, dir_fd=self._root, follow_symlinks=False
        ):
            above = "" if directory == "." else directory.removeprefix("./") + "/"
            for name in (*folders, *files):
                if above + name not in self._come:
                    _remove(name, fd)
            # Links to directories are among them, and fwalk opens a link before it sees that it is one.
            folders[:] = [name for name in folders if above + name in self._come and not _is_link(name, fd)]


def _raise(error: OSError) -> None:
    raise error


def _is_link(name: str, fd: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)


def _remove(name: str, fd: int) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=fd)
