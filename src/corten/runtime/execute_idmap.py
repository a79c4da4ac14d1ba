"""Id mappings: of a new user namespace, and of user namespaces that only carry a mount's mapping."""

from __future__ import annotations

import os

from corten.errors import StartError
from corten.linux.namespace import CLONE_NEWUSER, clone3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write_mappings(pid: int, settings: dict[str, Any]) -> None:
    """Write the id mappings of the user namespace that `pid` was born in; StartError when it is not
    allowed.
    """
    uid_map, gid_map = settings["uid_map"], settings["gid_map"]
    if os.geteuid() == 0:
        _write(f"/proc/{pid}/uid_map", uid_map)
        _write(f"/proc/{pid}/gid_map", gid_map)
        return
    own = f" {os.geteuid()} 1"
    if uid_map.count("\n") == 1 and uid_map.rstrip().endswith(own):
        _write(f"/proc/{pid}/uid_map", uid_map)
    else:
        _map_by_program("newuidmap", pid, uid_map)
    own = f" {os.getegid()} 1"
    if gid_map.count("\n") == 1 and gid_map.rstrip().endswith(own):
        _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/gid_map", gid_map)
    else:
        _map_by_program("newgidmap", pid, gid_map)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        shown = "; ".join(text.strip().split("\n"))
        raise StartError(f"cannot write {shown!r} to {path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _map_by_program(program: str, pid: int, text: str) -> None:
    """An ordinary user's ranges (/etc/subuid) are mapped by shadow's setuid programs."""
    try:
        child = os.posix_spawnp(program, [program, str(pid), *text.split()], os.environ)
    except OSError as error:
        raise StartError(f"cannot run {program}: {error.strerror}: install the package uidmap") from error
    status = os.waitpid(child, 0)[1]
    if status != 0:
        raise StartError(
            f"{program} refused the mapping {text.strip()!r}: are the ranges in /etc/subuid yours?"
        )


def mapping_namespace(uid_map: str, gid_map: str) -> int:
    """The descriptor of a user namespace with these mappings; no process stays in it."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = clone3(CLONE_NEWUSER)
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    try:
        _write(f"/proc/{pid}/uid_map", uid_map)
        _write(f"/proc/{pid}/gid_map", gid_map)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(write_end)
        os.close(read_end)
        os.close(pidfd)
        os.waitpid(pid, 0)
