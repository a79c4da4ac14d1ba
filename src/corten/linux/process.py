"""Calls about the process itself: descriptors, exec by descriptor, keyring, personality, priorities,
names.
"""

from __future__ import annotations

import ctypes
import os

from corten.linux.syscall import NUMBER, failure, libc, raw

CLOSE_RANGE_CLOEXEC = 4
KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL_SETPERM = 5
KEYCTL_DESCRIBE = 6
KEY_SPEC_SESSION_KEYRING = -3
IOPRIO_WHO_PROCESS = 1
AT_EMPTY_PATH = 0x1000
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


class SchedAttr(ctypes.Structure):
    """`struct sched_attr` of sched_setattr(2), version 0 (48 bytes)."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    ]


MADV_POPULATE_WRITE = 23  # Linux 5.14

_char_pp = ctypes.POINTER(ctypes.c_char_p)
_madvise = libc("madvise", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_close_range = raw("close_range", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_keyctl = raw("keyctl", ctypes.c_int, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong)
_keyctl_number = raw("keyctl", ctypes.c_int, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)
_personality = libc("personality", ctypes.c_ulong)
_sethostname = libc("sethostname", ctypes.c_char_p, ctypes.c_size_t)
_setdomainname = libc("setdomainname", ctypes.c_char_p, ctypes.c_size_t)
_ioprio_set = raw("ioprio_set", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_sched_setattr = raw("sched_setattr", ctypes.c_int, ctypes.POINTER(SchedAttr), ctypes.c_uint)
_sched_getcpu = libc("sched_getcpu")
_execveat = raw("execveat", ctypes.c_int, ctypes.c_char_p, _char_pp, _char_pp, ctypes.c_int)
_renameat2 = libc("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_pidfd_send_signal = raw("pidfd_send_signal", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


def current_processor() -> int:
    """The number of the processor that runs this thread now (sched_getcpu(3))."""
    return int(_sched_getcpu())


def populate() -> None:
    """Have private copies of all pages that this process may write to: what follows has no page faults.

    For a fork that is about to run Python; as with every reference count, it would copy them one by one.
    """
    with open("/proc/self/maps", "rb") as file:  # noqa: PTH123
        maps = file.read()
    for line in maps.splitlines():
        bounds, _, rest = line.partition(b" ")
        if rest.startswith(b"rw-p"):
            begin, _, end = bounds.partition(b"-")
            start = int(begin, 16)
            _madvise(start, int(end, 16) - start, MADV_POPULATE_WRITE)


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2): close the descriptors, or set close-on-exec on them (CLOSE_RANGE_CLOEXEC)."""
    if first <= last and _close_range(NUMBER["close_range"], first, last, flags) != 0:
        raise failure("close_range", first, last)


def join_session_keyring(name: bytes | None) -> int:
    """keyctl(KEYCTL_JOIN_SESSION_KEYRING): a new session keyring (None: anonymous)."""
    key = _keyctl(NUMBER["keyctl"], KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0)
    if key < 0:
        raise failure("keyctl", name)
    return key


def set_key_permissions(key: int, permissions: int) -> None:
    """keyctl(KEYCTL_SETPERM)."""
    if _keyctl_number(NUMBER["keyctl"], KEYCTL_SETPERM, key, permissions, 0) < 0:
        raise failure("keyctl", key)


def personality(persona: int) -> None:
    """personality(2)."""
    if _personality(persona) < 0:
        raise failure("personality", hex(persona))


def sethostname(name: bytes) -> None:
    """sethostname(2)."""
    if _sethostname(name, len(name)) != 0:
        raise failure("sethostname", name)


def setdomainname(name: bytes) -> None:
    """setdomainname(2)."""
    if _setdomainname(name, len(name)) != 0:
        raise failure("setdomainname", name)


def overwrite(address: int, data: bytes) -> None:
    """Put `data` at `address` of our own memory (the kernel's copy of the arguments, say)."""
    ctypes.memmove(address, data, len(data))


def ioprio_set(value: int) -> None:
    """ioprio_set(2) for the calling process; `value` is class << 13 | priority."""
    if _ioprio_set(NUMBER["ioprio_set"], IOPRIO_WHO_PROCESS, 0, value) != 0:
        raise failure("ioprio_set", value)


def sched_setattr(
    policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    """sched_setattr(2) for the calling thread."""
    attributes = SchedAttr(48, policy, flags, nice, priority, runtime, deadline, period)
    if _sched_setattr(NUMBER["sched_setattr"], 0, attributes, 0) != 0:
        raise failure("sched_setattr", policy)


def execveat(fd: int, argv: list[bytes], environment: list[bytes]) -> None:
    """execveat(2) of the open file `fd` itself; returns only by raising."""
    arguments = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    variables = (ctypes.c_char_p * (len(environment) + 1))(*environment, None)
    _execveat(NUMBER["execveat"], fd, b"", arguments, variables, AT_EMPTY_PATH)
    raise failure("execveat", argv[0])


def renameat2(source: str | bytes, target: str | bytes, flags: int) -> None:
    """renameat2(2): RENAME_NOREPLACE, RENAME_EXCHANGE."""
    if _renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        raise failure("renameat2", source, target)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2)."""
    if _pidfd_send_signal(NUMBER["pidfd_send_signal"], pidfd, signal, None, 0) != 0:
        raise failure("pidfd_send_signal", pidfd, signal)
