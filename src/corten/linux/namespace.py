"""clone3(2), unshare(2), setns(2): making and entering namespaces."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import NUMBER, failure, libc, raw

CLONE_NEWTIME = 0x00000080
CLONE_VM = 0x00000100
CLONE_FS = 0x00000200
CLONE_FILES = 0x00000400
CLONE_PIDFD = 0x00001000
CLONE_VFORK = 0x00004000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_CLEAR_SIGHAND = 0x100000000
CLONE_INTO_CGROUP = 0x200000000
SIGCHLD = 17

# name in the runtime specification: (flag, name in /proc/<pid>/ns)
NAMESPACES = {
    "user": (CLONE_NEWUSER, "user"),
    "mount": (CLONE_NEWNS, "mnt"),
    "pid": (CLONE_NEWPID, "pid"),
    "network": (CLONE_NEWNET, "net"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "uts": (CLONE_NEWUTS, "uts"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "time": (CLONE_NEWTIME, "time"),
}


class CloneArgs(ctypes.Structure):
    """`struct clone_args` of clone3(2), version 2 (88 bytes)."""

    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
        ("set_tid", ctypes.c_uint64),
        ("set_tid_size", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
    ]


# The GIL stays held across clone3: the child is born holding it.
_clone3 = raw("clone3", ctypes.POINTER(CloneArgs), ctypes.c_size_t)
_unshare = libc("unshare", ctypes.c_int)
_setns = libc("setns", ctypes.c_int, ctypes.c_int)


def clone3(flags: int, *, cgroup: int = -1) -> tuple[int, int]:
    """A fork into new namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    `cgroup` is the descriptor of a v2 cgroup's directory that the child is born in. The child must not
    return to code that knows of threads or of os.register_at_fork: it sets itself up and executes.
    CLONE_PARENT forbids an exit signal (the parent's is taken).
    """
    pidfd = ctypes.c_int(-1)
    flags |= CLONE_PIDFD
    if cgroup >= 0:
        flags |= CLONE_INTO_CGROUP
    arguments = CloneArgs(
        flags=flags,
        pidfd=ctypes.addressof(pidfd),
        exit_signal=0 if flags & CLONE_PARENT else SIGCHLD,
        cgroup=max(cgroup, 0),
    )
    pid = _clone3(NUMBER["clone3"], arguments, 88)
    if pid < 0:
        raise failure("clone3", hex(flags))
    return pid, (pidfd.value if pid else -1)


def unshare(flags: int) -> None:
    """unshare(2)."""
    if _unshare(flags) != 0:
        raise failure("unshare", hex(flags))


def setns(fd: int, flags: int) -> None:
    """setns(2): `fd` is a namespace's file, or a pidfd (then `flags` may have several bits)."""
    if _setns(fd, flags) != 0:
        raise failure("setns", fd, hex(flags))
