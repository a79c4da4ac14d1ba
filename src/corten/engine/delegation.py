"""The part of the cgroup tree that an ordinary user may divide: what systemd delegates to him on cgroup v2.

https://systemd.io/CGROUP_DELEGATION. On cgroup v1 and on hybrid layouts nothing is delegated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

_UNIFIED = Path("/sys/fs/cgroup")
_LEAF = "engine"
_SCOPE_SECONDS = 2.0


def own_cgroup(unified: Path = _UNIFIED, process: str = "self") -> Path | None:
    """This process's directory where cgroup v2 is the only layout, else None."""
    if not (unified / "cgroup.controllers").exists():
        return None
    try:
        for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return unified / line[3:].lstrip("/")
    except OSError:
        pass
    return None


def enter_scope() -> bool:
    """Asks the user's systemd to put this process into a delegated scope of its own; False when it cannot.

    Best effort and quick: without it containers run all the same, only their limits cannot be kept.
    """
    own = own_cgroup()
    busctl = shutil.which("busctl")
    if own is None or busctl is None or not os.environ.get("XDG_RUNTIME_DIR"):
        return False
    if _divisible(own):
        return True
    pid = os.getpid()
    command = (
        f"{busctl} --user --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1"
        f" org.freedesktop.systemd1.Manager StartTransientUnit ssa(sv)a(sa(sv)) corten-{pid}.scope fail"
        f" 2 PIDs au 1 {pid} Delegate b true 0"
    )
    try:
        done = subprocess.run(command.split(), capture_output=True, timeout=_SCOPE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    deadline = time.monotonic() + _SCOPE_SECONDS
    while done.returncode == 0 and time.monotonic() < deadline:
        moved = own_cgroup()
        if moved is not None and moved != own:
            return True
        time.sleep(0.01)
    return False


def divide() -> Path | None:
    """The directory under which containers' cgroups may be made, or None.

    This process moves into a leaf of its own (a cgroup with controllers for its children may hold no
    process), and every controller that is there is passed on to the children.
    """
    own = own_cgroup()
    if own is None:
        return None
    base = own.parent if own.name == _LEAF else own
    if not _divisible(base):
        return None
    try:
        leaf = base / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (base / "cgroup.procs").read_text().split():
            (leaf / "cgroup.procs").write_text(pid)
        controllers = (base / "cgroup.controllers").read_text().split()
        for controller in controllers:
            (base / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:
        return None
    return base if controllers else None


def delegated_controllers() -> list[str]:
    """The controllers that could be handed on to containers, without changing anything."""
    own = own_cgroup()
    if own is None:
        return []
    # An engine gets a scope of its own beside this process, below the user's service manager.
    manager = _UNIFIED / f"user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"
    for directory in (own, own.parent, manager):
        if _divisible(directory):
            return (directory / "cgroup.controllers").read_text().split()
    return []


def _divisible(directory: Path) -> bool:
    """Whether children can be made there and processes moved within (not the root cgroup, which is
    nobody's).
    """
    return directory != _UNIFIED and all(
        os.access(directory / name, os.W_OK) for name in ("", "cgroup.procs", "cgroup.subtree_control")
    )
