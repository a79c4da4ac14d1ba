"""What can be done for a process before anybody has asked for it: a launcher's spare does it in quiet times.

New namespaces cost as much as the rest of the clone (a network namespace alone 0.4 ms, and its loopback
interface 0.15), and a fork pays for each page that it writes to first. Plans do not know of this: `take`
gives what fits a plan, and goes back to where this process came from with what does not.
"""

from __future__ import annotations

import os

from corten.linux import mount as m
from corten.linux import process, vfork
from corten.linux.namespace import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    setns,
    unshare,
)
from corten.runtime.execute_usual import Usual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from corten.runtime.operations import Operation, Plan

# Not the mount namespace: what the host mounts later must be there as well.
_NAMESPACES = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS


class Ahead:
    """What is ready. `origin`: a process that is where this one was."""

    __slots__ = ("_made", "_origin", "cgroup", "null", "shared", "usual")

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._made = 0
        self.cgroup: list[str] = []
        self.null = -1
        self.shared: vfork.Shared | None = None
        self.usual = Usual()

    def make_namespaces(self) -> None:
        """Enter new ones, if this user may, and may come back: an ordinary user's host network is not his."""
        try:
            origin = os.pidfd_open(self._origin)
            try:
                setns(origin, _NAMESPACES)
            finally:
                os.close(origin)
            unshare(_NAMESPACES)
            self._made = _NAMESPACES
            self.usual.set_up_network()
            self.usual.make()
        except OSError:
            pass  # the clone makes them, or says why it cannot

    def make_cgroup(self, hierarchies: Sequence[tuple[str, str]]) -> None:
        """Make what can be made of a cgroup, (name of the hierarchy, directory) each; the plan sees to what
        is there already, or cannot be.
        """
        for _name, directory in hierarchies:
            try:
                os.mkdir(directory, 0o755)
            except OSError:
                continue
            self.cgroup.append(directory)
        if len(self.cgroup) == len(hierarchies) and all(name for name, _directory in hierarchies):
            self.usual.bind_cgroup(hierarchies)

    def discard_cgroup(self) -> None:
        """Remove the directories that no plan has taken."""
        for directory in self.cgroup:
            try:
                os.rmdir(directory)
            except OSError:
                pass
        self.cgroup.clear()

    def take(self, plan: Plan) -> tuple[int, tuple[Operation, ...]]:
        """The flags with which to clone: without the namespaces that are here already; and what of the
        child's operations is not done yet.
        """
        flags: int = plan.settings["clone_flags"]
        made, self._made = self._made, 0
        # Hooks run where the launcher is; and a new user namespace owns those that are made with it.
        in_place = not flags & CLONE_NEWUSER and "runtime_hooks" not in plan.settings
        used = made & flags if in_place and "poststart_hooks" not in plan.settings else 0
        if used & CLONE_NEWNET and self.usual.has_changed(plan.child):
            used &= ~CLONE_NEWNET
        if made & ~used:
            origin = os.pidfd_open(self._origin)
            try:
                setns(origin, made & ~used)
            finally:
                os.close(origin)
        if not flags & CLONE_NEWNS:
            self.usual.discard()
        return flags & ~used, self.usual.take(plan.child, used)


def prepare(origin: int, *, namespaces: bool) -> Ahead:
    """For one `execute.spawn` in this process. `origin` is the pid of a process in the host's namespaces.

    Does what it can: what cannot be had now is made, or refused, when it is wanted.
    """
    ahead = Ahead(origin)
    if namespaces:
        ahead.make_namespaces()
    try:
        ahead.null = open_null()
        process.populate()
        if vfork.usable():
            ahead.shared = vfork.Shared()
            ahead.shared.make_contexts()
    except OSError:
        pass  # out of descriptors or memory
    return ahead


def open_null() -> int:
    """The null device on a read-only mount that no namespace shows; -1 for a caller who may not mount.

    (Whose containers are an ordinary user's: the host's null device is not theirs to change.)
    """
    try:
        tree = m.open_tree(m.AT_FDCWD, b"/dev/null", m.OPEN_TREE_CLONE)
    except OSError:
        return -1
    try:
        m.mount_setattr(tree, attr_set=m.MOUNT_ATTR_RDONLY)
        return os.open(b"/proc/self/fd/%d" % tree, os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(tree)
