"""Carry out a `CgroupPlan`: create, enter, verify, kill, remove. Runs in the launcher and its monitors.

A plan is a plain tuple (marshal refuses subclasses); the constants below name its places. Nothing is worked
out here: every path is absolute and every expected value is in the plan.

How a process enters. Writing another process's number to `cgroup.procs` takes the kernel's
`cgroup_threadgroup_rwsem` for writing and waits for an RCU grace period: 14 ms for *each* hierarchy when none
was waited for lately. A thread that moves itself (`0` written to v1's `tasks`) skips that lock: 0.03 ms. So
the parent opens the `tasks` files (`open_entry`; the kernel checks the opener's credentials, so this works
into a user namespace too), the child, still single-threaded, writes to them (`enter`), and the v2 hierarchy
is entered by CLONE_INTO_CGROUP. A cgroup namespace must be unshared after `enter`, or its root is the
parent's cgroup.
"""

from __future__ import annotations

import errno
import os
import time

from corten.errors import Conflict, CortenError, LimitError
from corten.linux.signals import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

# (path of the file, values: one write() each, how to verify, what to expect)
Write = tuple[str, tuple[str, ...], str, str]
# Files that the kernel may name one way or another: the first that exists counts.
Alternatives = tuple[Write, ...]
# The places of a plan.
DIRECTORIES: Final = 0  # the cgroup's directory in each hierarchy
WRITES: Final = 1  # of `Alternatives`
TASKS: Final = 2  # v1 `tasks` files, for `enter`
UNIFIED: Final = 3  # the v2 directory, "" where there is none
PROGRAM: Final = 4  # eBPF device program for UNIFIED, b"" for none
CONTROLLERS: Final = 5  # v2 controllers that UNIFIED should have
MOUNTPOINTS: Final = 6  # where each hierarchy begins: no directory above is made or changed
OOM: Final = 7  # file with an `oom_kill` counter, or ""
FREEZER: Final = 8  # v1 freezer.state, or ""
WARNINGS: Final = 9  # what could not be kept (best effort)
CgroupPlan = tuple[
    tuple[str, ...],
    tuple[Alternatives, ...],
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
UNCHECKED = ""
EQUAL = "equal"  # the file's text
PAGES = "pages"  # a number of bytes that the kernel rounds down to whole pages
FIELDS = "fields"  # some line has all the words of the expected one (a device's line in io.max)
ABSENT = "absent"  # no line begins with the expected word (a throttle that was taken away)
CPULIST = "cpulist"  # "0-1" is "0,1"
DEVICES = "devices"  # devices.list beside the file has what `values` allowed
INHERIT = "inherit"  # no values: copy the parent's (a v1 cpuset is born empty)

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_UNLIMITED = 1 << 62
_TIMEOUT = 5.0
_CREATE_TRIES = 5


def create(plan: CgroupPlan, ahead: Sequence[str] = ()) -> None:
    """Make the cgroup in every hierarchy, write its limits, read them back. `ahead`: directories that the
    caller has just made; those that the plan does not name are removed.

    Raises LimitError naming the file, what was asked and what is there; Conflict when the cgroup exists and
    is in use. Nothing that this call made is left behind by a failure.
    """
    made = list(ahead)
    try:
        for directory in ahead:
            if directory not in plan[DIRECTORIES]:
                os.rmdir(directory)
        for directory, mountpoint in zip(plan[DIRECTORIES], plan[MOUNTPOINTS], strict=True):
            if directory not in ahead:
                _make(directory, mountpoint, made)
        why = enable(plan) if plan[CONTROLLERS] else ""
        for alternatives in plan[WRITES]:
            apply_write(alternatives, why)
        if plan[PROGRAM]:
            from corten.linux import bpf

            bpf.attach_device_program(plan[UNIFIED], plan[PROGRAM])
    except BaseException as error:
        for directory in reversed(made):
            try:
                os.rmdir(directory)
            except OSError:  # a parent that another container uses by now
                pass
        if isinstance(error, OSError):
            raise LimitError(f"cannot set up the cgroup {_name(plan)}: {error}") from error
        raise


def open_entry(plan: CgroupPlan) -> Entry:
    """Open what a child needs to enter: give `[1]` to clone3 (CLONE_INTO_CGROUP) when it is not -1."""
    descriptors: list[int] = []
    try:
        for path in plan[TASKS]:
            descriptors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        unified = -1
        if plan[UNIFIED]:
            unified = os.open(plan[UNIFIED], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        close_entry((tuple(descriptors), -1))
        raise CortenError(f"cannot open the cgroup {_name(plan)}: {error}") from error
    return tuple(descriptors), unified


def enter(entry: Entry) -> None:
    """Move the calling, single-threaded process into the v1 hierarchies (in the child, after the clone)."""
    for descriptor in entry[0]:
        os.write(descriptor, b"0")


def close_entry(entry: Entry) -> None:
    """Close the descriptors of `open_entry`."""
    for descriptor in entry[0]:
        os.close(descriptor)
    if entry[1] >= 0:
        os.close(entry[1])


def join(plan: CgroupPlan, pid: int) -> None:
    """Move another process, all its threads, into the cgroup. Slow (see above): for what runs already."""
    for directory in plan[DIRECTORIES]:
        path = directory + "/cgroup.procs"
        try:
            _write_file(path, str(pid))
        except OSError as error:
            raise CortenError(f"cannot move process {pid} into {path}: {error.strerror}") from error


def oom_kills(plan: CgroupPlan) -> int:
    """How many processes of the cgroup the kernel's OOM killer has killed. Ask before `remove`."""
    if plan[OOM]:
        try:
            text = _read_file(plan[OOM])
        except OSError:
            return 0
        for line in text.splitlines():
            if line.startswith("oom_kill "):
                return int(line[9:])
    return 0


def kill(plan: CgroupPlan) -> None:
    """SIGKILL every process of the cgroup and below, frozen or not; returns when none is left (bounded)."""
    deadline = time.monotonic() + _TIMEOUT
    pause = 0.0005
    frozen = plan[FREEZER]
    while True:
        if not _kill_v2(plan[UNIFIED]):
            # Frozen, so that nothing forks between the listing and the signal; a frozen v1 process takes
            # SIGKILL only when thawed.
            _set_quietly(frozen, "FROZEN")
            for pid in processes(plan):
                try:
                    os.kill(pid, SIGKILL)
                except ProcessLookupError:
                    pass
        _set_quietly(frozen, "THAWED")
        if not processes(plan):
            return
        if time.monotonic() > deadline:
            raise CortenError(f"processes of the cgroup {_name(plan)} do not die: {processes(plan)[:10]}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def processes(plan: CgroupPlan) -> list[int]:
    """The processes in the cgroup and in all nested ones."""
    found: list[int] = []
    directory = plan[UNIFIED] or (plan[DIRECTORIES][0] if plan[DIRECTORIES] else "")
    if directory:
        _collect(directory, found)
    return found


def remove(plan: CgroupPlan) -> None:
    """Remove the cgroup and what was nested in it; what still exits is waited for (bounded). Idempotent."""
    for directory in plan[DIRECTORIES]:
        remove_directory(directory)


def remove_directory(directory: str) -> None:
    """Remove one cgroup directory, nested ones first; CortenError when it stays busy."""
    try:
        os.rmdir(directory)
        return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise CortenError(f"cannot remove the cgroup {directory}: {error.strerror}") from error
    deadline = time.monotonic() + _TIMEOUT
    pause = 0.0002
    while not _remove_tree(directory):
        if time.monotonic() > deadline:
            left: list[int] = []
            _collect(directory, left)
            raise CortenError(f"cannot remove the cgroup {directory}: it still has processes: {left[:10]}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def apply_write(alternatives: Alternatives, why: str = "") -> None:
    """Write one limit and read it back. `why` tells what a file that is not there may be missing for."""
    write = alternatives[0]
    if len(alternatives) > 1:
        write = next((choice for choice in alternatives if os.access(choice[0], os.F_OK)), write)
    path, values, check, expected = write
    try:
        if check == INHERIT:
            parent, _, name = path.rpartition("/")
            inherit(parent, name)
            return
        writable = os.O_RDWR if check not in (UNCHECKED, DEVICES) else os.O_WRONLY
        descriptor = os.open(path, writable | os.O_CLOEXEC)
    except OSError as error:
        reason = why if why and error.errno == errno.ENOENT else error.strerror
        asked = expected or ", ".join(values)
        raise LimitError(f"cannot set {path} to {asked!r}: {reason}") from error
    try:
        for value in values:
            try:
                os.write(descriptor, value.encode())
            except OSError as error:
                raise LimitError(f"cannot set {path} to {value!r}: {_explain(path, error)}") from error
        if check == DEVICES:
            actual = _read_file(path.rpartition("/")[0] + "/devices.list")
        elif check:
            actual = os.pread(descriptor, 65536, 0).decode()
        else:
            return
    finally:
        os.close(descriptor)
    if not holds(check, expected, actual):
        shown = actual.strip().replace("\n", "; ")
        raise LimitError(f"the limit in {path} did not take: asked {expected!r}, the kernel has {shown!r}")


def holds(check: str, expected: str, actual: str) -> bool:
    """Does the text read back say what was asked?"""
    if check == EQUAL:
        return actual.strip() == expected
    if check == PAGES:
        if not actual.strip().lstrip("-").isdigit():
            return False
        asked, there = int(expected), int(actual)
        if asked < 0 or asked >= _UNLIMITED:
            return there < 0 or there >= _UNLIMITED
        return 0 <= asked - there < PAGE_SIZE
    if check == FIELDS:
        words = set(expected.split())
        return any(words <= set(line.split()) for line in actual.splitlines())
    if check == ABSENT:
        return not any(line.split(" ", 1)[0] == expected for line in actual.splitlines())
    if check == CPULIST:
        return parse_cpulist(expected) == parse_cpulist(actual)
    if check == DEVICES:
        return _devices_hold(expected, actual)
    return True


def parse_cpulist(text: str) -> set[int]:
    """`0-2,4` → {0, 1, 2, 4}."""
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def inherit(directory: str, name: str) -> None:
    """Copy the cpuset file `name` from the parent of `directory`, if it is still empty."""
    path = directory + "/" + name
    if not _read_file(path).strip():
        _write_file(path, _read_file(directory.rpartition("/")[0] + "/" + name).strip())


def _make(directory: str, mountpoint: str, made: list[str]) -> None:
    for _ in range(_CREATE_TRIES):
        try:
            os.mkdir(directory, 0o755)
        except FileNotFoundError:  # also when the last container just took the parent away
            _make_parent(directory.rpartition("/")[0], mountpoint, made)
        except FileExistsError:
            # Left by a crash, with limits of its own: it must begin anew.
            if not _remove_tree(directory):
                raise Conflict(f"the cgroup {directory} exists and is in use: choose another name") from None
        else:
            made.append(directory)
            return
    raise LimitError(f"cannot make the cgroup {directory}: its parent is removed again and again")


def _make_parent(directory: str, mountpoint: str, made: list[str]) -> None:
    if len(directory) <= len(mountpoint):
        raise LimitError(f"the cgroup file system {mountpoint} is gone")
    for _ in range(_CREATE_TRIES):
        try:
            os.mkdir(directory, 0o755)
        except FileNotFoundError:
            _make_parent(directory.rpartition("/")[0], mountpoint, made)
        except FileExistsError:
            return
        else:
            made.append(directory)
            break
    if os.access(directory + "/cpuset.memory_migrate", os.F_OK):  # v1: born empty
        inherit(directory, "cpuset.cpus")
        inherit(directory, "cpuset.mems")


def enable(plan: CgroupPlan) -> str:
    """Hand the controllers down to the v2 directory; returns why one is missing, "" when all are there."""
    directory, wanted = plan[UNIFIED], plan[CONTROLLERS]
    if not set(wanted) - set(_read_file(directory + "/cgroup.controllers").split()):
        return ""
    mountpoint = plan[MOUNTPOINTS][plan[DIRECTORIES].index(directory)]
    path, why = mountpoint, ""
    for part in directory[len(mountpoint) + 1 :].split("/"):
        control = path + "/cgroup.subtree_control"
        for controller in set(wanted) - set(_read_file(control).split()):
            try:
                _write_file(control, "+" + controller)
            except OSError as error:
                reason = error.strerror
                if error.errno == errno.EBUSY:
                    reason = "it holds processes itself (see cgroups(7), no internal processes)"
                elif error.errno == errno.ENOENT:
                    reason = "the kernel or its parent does not offer it there"
                why = why or f"controller {controller} cannot be enabled by {control}: {reason}"
        path += "/" + part
    return why


def _remove_tree(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            nested = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        for path in nested:
            _remove_tree(path)
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _collect(directory: str, found: list[int]) -> None:
    try:
        found.extend(int(line) for line in _read_file(directory + "/cgroup.procs").split() if line != "0")
        with os.scandir(directory) as entries:
            nested = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # gone, or (ENODEV) going
        return
    for path in nested:
        _collect(path, found)


def _kill_v2(directory: str) -> bool:
    if directory:
        try:
            _write_file(directory + "/cgroup.kill", "1")
        except OSError:  # before Linux 5.14
            return False
        return True
    return False


def _devices_hold(expected: str, actual: str) -> bool:
    there: dict[str, set[str]] = {}
    for line in actual.splitlines():
        name, _, access = line.rpartition(" ")
        there.setdefault(name, set()).update(access)
    for rule in expected.split(";"):
        name, _, access = rule.rpartition(" ")
        if not set(access) <= there.get(name, set()):
            return False
    # A list that still begins with "a *:* rwm" allows everything.
    return "a *:*" not in there or expected.startswith("a ")


def _explain(path: str, error: OSError) -> str:
    if error.errno == errno.EBUSY and "/memory." in path:
        return "the cgroup uses more than that already"
    if error.errno == errno.EINVAL and path.endswith("/memory.limit_in_bytes"):
        return "more than the limit of memory and swap together, update that one as well"
    if error.errno == errno.ENODEV:
        return "no such device here (a whole disk is asked for, not a partition)"
    return error.strerror or str(error)


def _set_quietly(path: str, value: str) -> None:
    if path:
        try:
            _write_file(path, value)
        except OSError:
            pass


def _name(plan: CgroupPlan) -> str:
    if not plan[DIRECTORIES]:
        return "(none)"
    return plan[DIRECTORIES][0][len(plan[MOUNTPOINTS][0]) :]


def _read_file(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while data := os.read(descriptor, 65536):
            parts.append(data)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()


def _write_file(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
