"""Sealed memory files (memfd_create(2), F_ADD_SEALS): a copy of a file that nobody can write to."""

from __future__ import annotations

import fcntl
import os

F_ADD_SEALS = 1033
F_GET_SEALS = 1034
F_SEAL_ALL = 0x0F  # seal, shrink, grow, write


def sealed_copy(name: str, source: int) -> int:
    """A sealed copy of the open file `source`."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    size = os.fstat(source).st_size
    offset = 0
    while offset < size:
        offset += os.sendfile(fd, source, offset, size - offset)
    os.fchmod(fd, 0o555)
    fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_ALL)
    return fd


def is_sealed(fd: int) -> bool:
    """Is `fd` a memory file that nobody can write to?"""
    try:
        return fcntl.fcntl(fd, F_GET_SEALS) & F_SEAL_ALL == F_SEAL_ALL
    except OSError:
        return False
