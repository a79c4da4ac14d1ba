"""Carry out a `CgroupPlan`: create, enter, verify, kill, remove. Runs in the launcher and its monitors.

A plan is a plain tuple (marshal refuses subclasses); the constants below name its places. Nothing is worked out
here: every path is absolute and every expected value is in the plan.

How a process enters. Writing another process's number to `cgroup.procs` takes the kernel's
`cgroup_threadgroup_rwsem` for writing and waits for an RCU grace period: 14 ms for *each* hierarchy when none of
it happened lately. A thread that moves itself (`0` written to v1's `tasks`) skips that lock: 0.03 ms. So the
parent opens the `tasks` files (`open_entry`; the kernel checks the opener's credentials, so this works into a user
namespace too), the child, still single-threaded, writes to them (`enter`), and the unified hierarchy is
entered by CLONE_INTO_CGROUP. A cgroup namespace must be unshared after `enter`, or its root is the parent's cgroup.
"""

from __future__ import annotations

import errno
import os
import time

from corten.errors import CortenError, LimitError

# (path of the file, values: one write() each, how to verify, what to expect)
Write = tuple[str, tuple[str, ...], str, str]
# The places of a plan.
DIRECTORIES = 0  # the cgroup's directory in each hierarchy
WRITES = 1  # of `Write`
TASKS = 2  # v1 `tasks` files, for `enter`
UNIFIED = 3  # the v2 directory, "" where there is none
PROGRAM = 4  # eBPF device program for UNIFIED, b"" for none
CONTROLLERS = 5  # v2 controllers that UNIFIED needs
MOUNTPOINTS = 6  # where each hierarchy begins: no directory above is made or changed
OOM = 7  # file with an `oom_kill` counter, or ""
FREEZER = 8  # v1 freezer.state, or ""
WARNINGS = 9  # what could not be kept (best effort)
CgroupPlan = tuple[
    tuple[str, ...],
    tuple[Write, ...],
    tuple[str, ...],
    str,
    bytes,
    tuple[str, ...],
    tuple[str, ...],
    str,
    str,
    tuple[str, ...],
]
# (descriptors of `tasks` files, descriptor of the v2 directory or -1)
Entry = tuple[tuple[int, ...], int]

# How a value is verified (`Write`'s third place).
UNCHECKED, EQUAL, PAGES, FIELDS, CPULIST, DEVICES = "", "equal", "pages", "fields", "cpulist", "devices"
PAGE_SIZE = 65536 if os.uname().machine == "ppc64le" else os.sysconf("SC_PAGE_SIZE")
_UNLIMITED = 1 << 62
_REMOVE_TIMEOUT = 5.0


def create(plan: CgroupPlan) -> None:
    """Make the cgroup in every hierarchy, write its limits, read them back.

    Raises LimitError naming the file, what was asked and what is there. Nothing that this call made is left behind
    by a failure; a cgroup that existed before and holds processes is refused.
    """
    raise NotImplementedError


def open_entry(plan: CgroupPlan) -> Entry:
    """Open what a child needs to enter the cgroup: pass `[1]` to clone3 (CLONE_INTO_CGROUP) when it is not -1."""
    raise NotImplementedError


def enter(entry: Entry) -> None:
    """Move the calling, single-threaded process into the v1 hierarchies (in the child, right after the clone)."""
    raise NotImplementedError


def close_entry(entry: Entry) -> None:
    """Close the descriptors of `open_entry`."""
    raise NotImplementedError


def join(plan: CgroupPlan, pid: int) -> None:
    """Move another process, all its threads, into the cgroup. Slow (see above): for what is running already."""
    raise NotImplementedError


def oom_kills(plan: CgroupPlan) -> int:
    """How many processes of the cgroup the kernel's OOM killer has killed. Ask before `remove`."""
    raise NotImplementedError


def kill(plan: CgroupPlan) -> None:
    """SIGKILL every process of the cgroup and below, frozen or not; returns when none is left (bounded)."""
    raise NotImplementedError


def remove(plan: CgroupPlan) -> None:
    """Remove the cgroup and what was nested in it; what is still exiting is waited for (bounded). Idempotent."""
    raise NotImplementedError
