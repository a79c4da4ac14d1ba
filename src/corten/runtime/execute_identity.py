"""Who the process is: user, groups, capabilities, limits, filters. In the child, after the change of root."""

from __future__ import annotations

import os
import resource

from corten.errors import StartError
from corten.linux import capability as c
from corten.linux import prctl as p
from corten.linux import process
from corten.linux.interface import set_up
from corten.linux.mount import AT_FDCWD
from corten.linux.openat2 import RESOLVE_NO_MAGICLINKS, openat2
from corten.linux.seccomp import set_filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child


def interface_up(child: Child, name: bytes) -> None:
    """The loopback interface of a new network namespace is down."""
    set_up(name)


def environment(child: Child, variables: tuple[tuple[bytes, bytes], ...]) -> None:
    child.environment = dict(variables)


def resolve_user(
    child: Child, text: str | None, uid: int, gid: int, extra: tuple[int | str, ...], home: bool
) -> None:
    """Find user, groups and home in the container's own /etc/passwd and /etc/group.

    `text` is "name|uid[:group|gid]"; None: `uid` and `gid` are given, only the home is looked up.
    `extra`: further groups, by number or name.
    """
    name, _separator, group = (text or "").partition(":")
    found_home = b""
    groups = [item if isinstance(item, int) else _find_group(item) for item in extra]
    if text:
        uid, gid, found_home, user_name = _find_user(name or "0", group)
        if group:
            gid = _find_group(group)
        elif user_name:
            groups += [number for number in _groups_of(user_name) if number not in groups]
        # Without the primary group among them, a set-group-id program would leave it, and what is forbidden
        # to that group would be allowed (CVE-2022-36109).
        groups = [gid, *(number for number in groups if number != gid)]
    elif home:
        found_home = _home_of(uid)
    if home and b"HOME" not in child.environment:
        child.environment[b"HOME"] = found_home or b"/"
    child.user = (uid, gid, tuple(groups))


def _lines(path: bytes, fields: int) -> list[list[str]]:
    try:
        # An image's /etc/passwd may be a link to /proc/self/fd/..., and so out of the container.
        fd = openat2(AT_FDCWD, path, os.O_RDONLY | os.O_NONBLOCK, RESOLVE_NO_MAGICLINKS)
    except OSError:
        return []
    try:
        data = b""
        while len(data) < 8 << 20:
            piece = os.read(fd, 65536)
            if not piece:
                break
            data += piece
    except OSError:
        return []
    finally:
        os.close(fd)
    rows = [line.strip().split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]
    return [row for row in rows if len(row) >= fields]


def _find_user(name: str, group: str) -> tuple[int, int, bytes, str]:
    """(uid, primary gid, home, name) of a name or a number; a number need not be in the file."""
    number = int(name) if name.isdigit() else None
    for row in _lines(b"/etc/passwd", 4):
        if row[0] == name or (number is not None and row[2] == str(number)):
            if not (row[2].isdigit() and row[3].isdigit()):
                continue
            home = os.fsencode(row[5]) if len(row) > 5 else b""
            return int(row[2]), int(row[3]), home, row[0]
    if number is None:
        raise StartError(f"unable to find user {name}: no matching entries in passwd file")
    if number > 2**32 - 2:
        raise StartError(f"user number {number} is out of range")
    return number, 0, b"", ""


def _find_group(name: str) -> int:
    if name.isdigit():
        return int(name)
    for row in _lines(b"/etc/group", 3):
        if row[0] == name and row[2].isdigit():
            return int(row[2])
    raise StartError(f"unable to find group {name}: no matching entries in group file")


def _groups_of(user: str) -> list[int]:
    rows = _lines(b"/etc/group", 4)
    return [int(row[2]) for row in rows if user in row[3].split(",") and row[2].isdigit()]


def _home_of(uid: int) -> bytes:
    text = str(uid)
    for row in _lines(b"/etc/passwd", 6):
        if row[2] == text:
            return os.fsencode(row[5])
    return b""


def set_user(child: Child, setgroups: bool, keep: bool) -> None:
    """Take on groups, group and user. `keep` the permitted capabilities over it, for `set_capabilities`."""
    assert child.user is not None
    uid, gid, groups = child.user
    if keep and uid != 0:
        p.prctl(p.PR_SET_KEEPCAPS, 1)
    if setgroups:
        os.setgroups(groups)
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise StartError(
            f"cannot become user {uid}, group {gid}: {error.strerror} (is it mapped in the user namespace?)"
        ) from None
    if child.death_signal:  # a change of credentials clears it
        p.prctl(p.PR_SET_PDEATHSIG, child.death_signal)


def set_rlimits(child: Child, limits: tuple[tuple[int, str, int, int], ...]) -> None:
    """Resource limits. Raising a hard limit needs CAP_SYS_RESOURCE: without it the present one stays."""
    for number, name, soft, hard in limits:
        try:
            resource.setrlimit(number, (soft, hard))
        except (ValueError, PermissionError):
            _soft, present = resource.getrlimit(number)
            unlimited = resource.RLIM_INFINITY
            capped_hard = present if hard == unlimited or (present != unlimited and hard > present) else hard
            capped_soft = (
                capped_hard
                if soft == unlimited or (capped_hard != unlimited and soft > capped_hard)
                else soft
            )
            resource.setrlimit(number, (capped_soft, capped_hard))
            child.warn(f"{name} is limited to {capped_hard}: raising it to {hard} needs CAP_SYS_RESOURCE")


def set_scheduler(
    child: Child, policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    process.sched_setattr(policy, flags, nice, priority, runtime, deadline, period)


def set_ioprio(child: Child, value: int) -> None:
    process.ioprio_set(value)


def set_affinity(child: Child, cpus: tuple[int, ...]) -> None:
    os.sched_setaffinity(0, cpus)


def set_personality(child: Child, persona: int) -> None:
    process.personality(persona)


def drop_bounding(child: Child, capabilities: tuple[int, ...]) -> None:
    """Take capabilities out of the bounding set."""
    drop = c.drop_bounding
    for number in capabilities:
        drop(number)


def set_capabilities(
    child: Child, effective: int, permitted: int, inheritable: int, ambient: tuple[int, ...]
) -> None:
    """The effective, permitted, inheritable and ambient sets."""
    try:
        c.capset(effective, permitted, inheritable)
    except PermissionError:
        _effective, have, _inheritable = c.capget()
        missing = [name for bit, name in enumerate(c.NAMES) if (permitted | inheritable) & ~have & 1 << bit]
        if not missing:
            raise
        raise StartError(f"cannot give {', '.join(missing)}: this user does not have it") from None
    if ambient:
        c.clear_ambient()
        for number in ambient:
            c.raise_ambient(number)


def no_new_privileges(child: Child) -> None:
    p.prctl(p.PR_SET_NO_NEW_PRIVS, 1)


def seccomp(child: Child, program: bytes, flags: int) -> None:
    """Install the system call filter."""
    set_filter(program, flags)
