"""syncfs(2): everything of one file system to its disk."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import failure, libc

_syncfs = libc("syncfs", ctypes.c_int, blocking=True)


def syncfs(fd: int) -> None:
    """syncfs(2) of the file system that `fd` is on."""
    if _syncfs(fd) != 0:
        raise failure("syncfs", fd)
