"""prctl(2)."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import failure, libc

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_SECCOMP = 21
PR_GET_NO_NEW_PRIVS = 39
PR_SET_IO_FLUSHER = 57

_prctl = libc("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """prctl(2); the result where the option has one."""
    result = _prctl(option, argument, argument3, 0, 0)
    if result < 0:
        raise failure("prctl", option, argument)
    return result


def set_name(name: bytes) -> None:
    """PR_SET_NAME: what ps shows as the thread's name (15 bytes)."""
    buffer = ctypes.create_string_buffer(name[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))
