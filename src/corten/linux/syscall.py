"""The way into the kernel: libc by ctypes, and the numbers of the calls libc has no wrapper for.

Every prototype is declared once, at import of the module that wraps the call. Calls hold the GIL unless
they may block for long: a launcher has one thread, and the release and re-take would cost more than the call.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Call = Callable[..., int]

_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
_NUMBERS = {
    "x86_64": _COMMON
    | {
        "pivot_root": 155,
        "rt_sigaction": 13,
        "capget": 125,
        "capset": 126,
        "keyctl": 250,
        "seccomp": 317,
        "execveat": 322,
        "ioprio_set": 251,
        "sched_setattr": 314,
        "bpf": 321,
        "setgroups": 116,
        "mq_open": 240,
        "set_mempolicy": 238,
    },
    "aarch64": _COMMON
    | {
        "pivot_root": 41,
        "rt_sigaction": 134,
        "capget": 90,
        "capset": 91,
        "keyctl": 219,
        "seccomp": 277,
        "execveat": 281,
        "ioprio_set": 30,
        "sched_setattr": 274,
        "bpf": 280,
        "setgroups": 159,
        "mq_open": 180,
        "set_mempolicy": 237,
    },
}
MACHINE = os.uname().machine
if MACHINE not in _NUMBERS:
    raise OSError(f"corten knows the system calls of x86_64 and aarch64, not of {MACHINE}")
NUMBER = _NUMBERS[MACHINE]

_libc = ctypes.PyDLL(None, use_errno=True)
_libc_blocking = ctypes.CDLL(None, use_errno=True)


def libc(name: str, *argtypes: Any, blocking: bool = False) -> Call:
    """libc's function `name`, which returns an int and sets errno."""
    function = (_libc_blocking if blocking else _libc)[name]
    function.argtypes = argtypes
    function.restype = ctypes.c_int
    return function


def address(name: str) -> int | None:
    """Where libc's function `name` is, for calls that libc itself makes."""
    return ctypes.cast(_libc[name], ctypes.c_void_p).value


def raw(name: str, *argtypes: Any, blocking: bool = False) -> Call:
    """System call `name` by number; the result still lacks the number: call it as `call(NUMBER[name],
    ...)`.
    """
    function = (_libc_blocking if blocking else _libc)["syscall"]
    function.argtypes = (ctypes.c_long, *argtypes)
    function.restype = ctypes.c_long
    return function


def failure(call: str, *subjects: object) -> OSError:
    """The OSError of the call that just failed: errno, and `call(subjects)` as its file name."""
    number = ctypes.get_errno()
    text = ", ".join(_text(subject) for subject in subjects)
    return OSError(number, os.strerror(number), f"{call}({text})")


def _text(subject: object) -> str:
    if isinstance(subject, bytes):
        return subject.decode("utf-8", "replace")
    return str(subject)
