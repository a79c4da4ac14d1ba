"""openat2(2): opening a path with rules for its resolution (Linux 5.6)."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import NUMBER, failure, raw

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
O_PATH = 0o10000000
O_CLOEXEC = 0o2000000
_EAGAIN = 11


class OpenHow(ctypes.Structure):
    """`struct open_how { __u64 flags, mode, resolve; }`."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_openat2 = raw("openat2", ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(OpenHow), ctypes.c_size_t)


def openat2(directory: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2), close-on-exec. A resolution that raced with a rename (EAGAIN) is tried again."""
    how = OpenHow(flags | O_CLOEXEC, mode, resolve)
    for _ in range(128):
        fd = _openat2(NUMBER["openat2"], directory, path, how, 24)
        if fd >= 0:
            return fd
        if ctypes.get_errno() != _EAGAIN:
            break
    raise failure("openat2", path)
