"""What the parent prepares before the clone, and takes back after it: namespaces to be born in,
descriptors.
"""

from __future__ import annotations

import os

from corten.errors import StartError
from corten.linux import mount as m
from corten.linux import prctl as p
from corten.linux.erofs import open_image
from corten.linux.namespace import CLONE_NEWNS, CLONE_NEWPID, setns
from corten.linux.openat2 import O_PATH
from corten.linux.statfs import NSFS_MAGIC, file_system_type
from corten.runtime.execute_idmap import mapping_namespace
from corten.runtime.execute_mounts import clone_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.runtime.operations import Plan


class Preparation:
    """The parent's operations of one plan. `slots` are the descriptors that the child finds by number."""

    __slots__ = ("_dumpable", "_plan", "_restore", "slots")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._restore: list[tuple[int, int]] = []
        self._dumpable = False
        self.slots: list[int] = []

    def enter(self) -> None:
        """Carry out the operations."""
        for name, *arguments in self._plan.parent:
            _HANDLERS[name](self, *arguments)

    def leave(self) -> None:
        """Go back to our own namespaces, close what the child has its own copy of."""
        for fd, flag in self._restore:
            try:
                setns(fd, flag)
            except PermissionError:
                # The host's pid and network namespaces do not belong to an ordinary user's user namespace:
                # no way back. A monitor forks once and has no network of its own, so it can stay.
                pass
            os.close(fd)
        self._restore.clear()
        for fd in self.slots:
            os.close(fd)
        self.slots = []
        if self._dumpable:
            p.prctl(p.PR_SET_DUMPABLE, 1)
            self._dumpable = False

    def born_in(self, kind: str, flag: int, path: str, own: str) -> None:
        """Join a namespace by path, for the clone: the child is born in it.

        In a pid namespace, others see it: as with an exec, it must not be dumpable until it executes.
        """
        fd = _open_namespace(kind, path)
        try:
            self._switch(fd, flag, own)
        finally:
            os.close(fd)
        if kind == "pid":
            self._hide()

    def _hide(self) -> None:
        p.prctl(p.PR_SET_DUMPABLE, 0)
        self._dumpable = True

    def _switch(self, fd: int, flag: int, own: str) -> None:
        back = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd, flag)
        except OSError:
            os.close(back)
            raise
        self._restore.append((back, flag))

    def namespace(self, kind: str, path: str) -> None:
        """Open a namespace for the child to join by itself."""
        self.slots.append(_open_namespace(kind, path))

    def container(self, pid: int, start_time: int, born: bool) -> None:
        """Open a running container for an exec.

        The child will be visible inside before it has executed: until then it must not be dumpable, or a
        process of the container could look into it (and through its descriptors) by ptrace.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise StartError(f"cannot execute in the container: its process {pid} is gone") from error
        self.slots.append(pidfd)
        if start_time and _start_time(pid) != start_time:
            raise StartError(f"cannot execute in the container: its process {pid} is gone")
        self._hide()
        if born:
            self._switch(pidfd, CLONE_NEWPID, "/proc/self/ns/pid_for_children")

    def container_root(self, pid: int) -> None:
        """Open a running container's root, for a chroot."""
        self.slots.append(os.open(f"/proc/{pid}/root", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    def layer(self, source: bytes, device: bytes) -> None:
        """Open an EROFS image, as a mount that is attached nowhere yet."""
        try:
            self.slots.append(open_image(source, device))
        except OSError as error:
            raise StartError(f"cannot mount the layer {os.fsdecode(source)}: {error.strerror}") from error

    def peers_tree(self, pid: int, source: bytes) -> None:
        """Clone a mount of a running container: only in its mount namespace can that be done."""
        back = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = _open_namespace("mount", f"/proc/{pid}/ns/mnt")
            try:
                setns(there, CLONE_NEWNS)
            finally:
                os.close(there)
            try:
                fd = m.open_tree(m.AT_FDCWD, source, m.OPEN_TREE_CLONE | m.AT_SYMLINK_NOFOLLOW)
            finally:
                setns(back, CLONE_NEWNS)
        except OSError as error:
            raise StartError(
                f"cannot share {source.decode()} of the container whose process is {pid}: {error.strerror}"
            ) from error
        finally:
            os.close(back)
        self.slots.append(fd)

    def tree(self, source: bytes, recursive: bool, mappings: Any, subpath: bytes = b"") -> None:
        """Clone a mount to bind, here where the host's files can be reached; with its own id mapping,
        perhaps.
        """
        try:
            fd = clone_tree(source, subpath, recursive)
        except OSError as error:
            raise StartError(f"cannot bind {source.decode('utf-8', 'replace')}: {error.strerror}") from error
        self.slots.append(fd)
        if mappings is None:
            return
        uid_map, gid_map, deep = mappings
        namespace = mapping_namespace(uid_map, gid_map)
        try:
            m.mount_setattr(fd, attr_set=m.MOUNT_ATTR_IDMAP, userns_fd=namespace, recursive=deep)
        except OSError as error:
            raise StartError(
                f"cannot map the owners of {source.decode('utf-8', 'replace')}: {error.strerror}: "
                "its file system, or this kernel, has no idmapped mounts"
            ) from error
        finally:
            os.close(namespace)


def _open_namespace(kind: str, path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StartError(f"cannot join the {kind} namespace {path}: {error.strerror}") from error
    if file_system_type(fd) != NSFS_MAGIC:
        os.close(fd)
        raise StartError(f"cannot join the {kind} namespace {path}: it is not a namespace")
    return fd


def _start_time(pid: int) -> int:
    """Field 22 of /proc/<pid>/stat: tells a process from a later one with the same number."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return -1
    finally:
        os.close(fd)


_HANDLERS: dict[str, Callable[..., None]] = {
    "born_in": Preparation.born_in,
    "open_namespace": Preparation.namespace,
    "open_container": Preparation.container,
    "open_container_root": Preparation.container_root,
    "clone_tree": Preparation.tree,
    "clone_peers_tree": Preparation.peers_tree,
    "open_layer": Preparation.layer,
}
