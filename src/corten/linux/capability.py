"""capset(2) and the capability calls of prctl(2)."""

from __future__ import annotations

import ctypes

from corten.linux.prctl import prctl
from corten.linux.syscall import NUMBER, failure, raw

PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522

# Bit numbers, in the order of <linux/capability.h>.
NAMES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
]


class _Header(ctypes.Structure):
    """`struct __user_cap_header_struct { __u32 version; int pid; }`."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_Data = ctypes.c_uint32 * 6  # twice (effective, permitted, inheritable): low words, then high words
_capset = raw("capset", ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capget = raw("capget", ctypes.POINTER(_Header), ctypes.POINTER(_Data))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three sets of the calling thread; bit n is capability n."""
    low = 0xFFFFFFFF
    data = _Data(
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> 32,
        permitted >> 32,
        inheritable >> 32,
    )
    if _capset(NUMBER["capset"], _Header(_VERSION_3, 0), data) != 0:
        raise failure("capset", hex(effective), hex(permitted), hex(inheritable))


def capget(pid: int = 0) -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of a thread."""
    data = _Data()
    if _capget(NUMBER["capget"], _Header(_VERSION_3, pid), data) != 0:
        raise failure("capget", pid)
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def drop_bounding(capability: int) -> None:
    """Take one capability out of the bounding set, for good."""
    prctl(PR_CAPBSET_DROP, capability)


def raise_ambient(capability: int) -> None:
    """Put one capability, which must be permitted and inheritable, into the ambient set."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


_last: list[int] = []  # read once: a kernel does not change


def last_capability() -> int:
    """The highest capability that this kernel has."""
    if not _last:
        with open("/proc/sys/kernel/cap_last_cap") as file:  # noqa: PTH123 - pathlib is not for the launcher
            _last.append(int(file.read()))
    return _last[0]
