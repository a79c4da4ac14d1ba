"""seccomp(2): installing a filter that was compiled to BPF elsewhere."""

from __future__ import annotations

import ctypes

from corten.linux import prctl
from corten.linux.syscall import MACHINE, NUMBER, failure, raw

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
SECCOMP_FILTER_FLAG_LOG = 2
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4


class SockFprog(ctypes.Structure):
    """`struct sock_fprog { unsigned short len; struct sock_filter *filter; }` (8 bytes for each
    instruction).
    """

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


_X32_GETPID = 0x40000000 | 39

_any = raw("any")
_seccomp = raw("seccomp", ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(SockFprog))


def set_filter(program: bytes, flags: int = 0) -> None:
    """Install the BPF program `program`. Needs no_new_privs or CAP_SYS_ADMIN."""
    if (
        _seccomp(NUMBER["seccomp"], SECCOMP_SET_MODE_FILTER, flags, SockFprog(len(program) // 8, program))
        != 0
    ):
        raise failure("seccomp", f"{len(program) // 8} instructions")


def has_x32() -> bool:
    """Whether this kernel takes the x32 calls of x86_64 (CONFIG_X86_X32_ABI); else they fail with ENOSYS.

    One is tried, unless this process has a filter itself (in a container, say), which may kill it for that:
    then the answer is yes.
    """
    if MACHINE != "x86_64":
        return False
    return prctl.prctl(prctl.PR_GET_SECCOMP) != 0 or _any(_X32_GETPID) > 0
