"""statfs(2): which kind of file system an open file is on."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import failure, libc

PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1
TMPFS_MAGIC = 0x01021994
RAMFS_MAGIC = 0x858458F6
CGROUP2_SUPER_MAGIC = 0x63677270
NSFS_MAGIC = 0x6E736673

_Statfs = ctypes.c_long * 15  # `struct statfs` of the 64-bit ABIs: f_type is the first word
_fstatfs = libc("fstatfs", ctypes.c_int, ctypes.POINTER(_Statfs))


def file_system_type(fd: int) -> int:
    """`f_type` of the file system that `fd` is on."""
    buffer = _Statfs()
    if _fstatfs(fd, buffer) != 0:
        raise failure("fstatfs", fd)
    return buffer[0]
