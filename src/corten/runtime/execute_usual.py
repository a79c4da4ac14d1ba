"""What nearly every container gets, made in advance (see `execute_ahead`): file systems that are mounted
nowhere yet, for the child to attach, and the settings of a new network namespace.

Docker's and Corten's own default is meant; whatever a plan wants otherwise, it gets made when it is wanted:
`Usual.take` compares the plan's operations with what is there.
"""

from __future__ import annotations

import os
import stat

from corten.linux import mount as m
from corten.linux.interface import set_up
from corten.linux.namespace import CLONE_NEWIPC, CLONE_NEWNET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from corten.runtime.operations import Operation

_TMPFS = b"tmpfs"
_DEV = b"dev"
_CGROUP = b"sys/fs/cgroup"
_CLOSED = m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC
_MOUNTS: tuple[Operation, ...] = (
    ("mount", _DEV, _TMPFS, _TMPFS, m.MS_NOSUID | m.MS_STRICTATIME, b"mode=755,size=65536k", None),
    (
        "mount",
        b"dev/pts",
        b"devpts",
        b"devpts",
        m.MS_NOSUID | m.MS_NOEXEC,
        b"newinstance,ptmxmode=0666,mode=0620,gid=5",
        None,
    ),
    ("mount", b"dev/mqueue", b"mqueue", b"mqueue", _CLOSED, None, None),
    ("mount", b"dev/shm", _TMPFS, b"shm", _CLOSED, b"mode=1777,size=67108864", None),
    ("mount", b"sys", b"sysfs", b"sysfs", _CLOSED | m.MS_RDONLY, None, None),
)
NODES = tuple(
    (name, stat.S_IFCHR | 0o666, os.makedev(major, minor), 0, 0, b"/dev/" + name)
    for name, major, minor in (
        (b"null", 1, 3),
        (b"zero", 1, 5),
        (b"full", 1, 7),
        (b"random", 1, 8),
        (b"urandom", 1, 9),
        (b"tty", 5, 0),
    )
)
"""The specification's default devices: name, mode with type, number, uid, gid, path on the host."""
_LINKS = (
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
)
CGROUP_DATA = b"mode=755,size=64k"
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""What Docker sets in a container's own network namespace."""
_INTERFACE: Operation = ("interface_up", b"lo")


class Usual:
    """`mounts`: what is there, by the place where it belongs. `empty`: the directory that masks others."""

    __slots__ = ("_cgroup", "_done", "_filled", "empty", "mounts")

    def __init__(self) -> None:
        self.mounts: dict[bytes, int] = {}
        self.empty = -1
        self._filled: tuple[Operation, ...] = ()  # what is done in /dev
        self._done: list[Operation] = []  # in the network namespace
        self._cgroup: Operation = ()

    def make(self) -> None:
        """Make the file systems. mqueue is of the IPC namespace that this process is in, sysfs of the network
        namespace. OSError where this user, or this kernel, cannot; nothing is left then.
        """
        mask = os.umask(0)
        try:
            for _mount, target, type, source, flags, data, _attributes in _MOUNTS:
                self.mounts[target] = _file_system(type, source, flags, data)
            self.mounts[_CGROUP] = _file_system(_TMPFS, _TMPFS, 0, CGROUP_DATA)
            self.empty = empty_directory()
            top = self.mounts[_DEV]
            for name in (b"pts", b"mqueue", b"shm"):
                os.mkdir(name, 0o755, dir_fd=top)
            for name, mode, number, *_rest in NODES:
                os.mknod(name, mode, number, dir_fd=top)
            links = device_links(pts=True)
            for name, target in links:
                os.symlink(target, name, dir_fd=top)
            self._filled = (("make_devices", _DEV, NODES, False), ("make_links", _DEV, links))
        except BaseException:
            self.discard()
            raise
        finally:
            os.umask(mask)

    def set_up_network(self) -> None:
        """Set what is usual in the network namespace of this process, which must be new."""
        set_up(b"lo")
        self._done.append(_INTERFACE)
        for name, value in SYSCTLS.items():
            path = b"sys/" + name.replace(".", "/").encode()
            try:
                fd = os.open(b"/proc/" + path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(fd, value.encode())
                finally:
                    os.close(fd)
            except OSError:  # the plan's own step says why, if it has one
                continue
            self._done.append(("write_proc", path, value.encode()))

    def bind_cgroup(self, hierarchies: Sequence[tuple[str, str]]) -> None:
        """Put the cgroup's directory in each v1 hierarchy, (name of the hierarchy, directory), into the file
        system that is for them. Linux 6.15: before, nothing can be mounted on a mount that is nowhere.
        """
        top = self.mounts.get(_CGROUP, -1)
        if top < 0 or not hierarchies:
            return
        pairs = tuple((os.fsencode(name), os.fsencode(directory)) for name, directory in hierarchies)
        flags = _CLOSED | m.MS_RDONLY
        try:
            bind_hierarchies(top, flags, pairs, cgroup_links(pairs))
        except OSError:
            os.close(self.mounts.pop(_CGROUP))
            return
        self._cgroup = ("mount_cgroup1", _CGROUP, flags, pairs, cgroup_links(pairs), CGROUP_DATA)

    def has_changed(self, operations: tuple[Operation, ...]) -> bool:
        """Whether the network namespace differs from a new one in something that the plan does not set."""
        changed, wanted = (
            {operation[1] for operation in some if operation[0] == "write_proc"}
            for some in (self._done, operations)
        )
        return not changed <= wanted

    def take(self, operations: tuple[Operation, ...], namespaces: int) -> tuple[Operation, ...]:
        """What remains to be done of a child's `operations`, if it is born with these of the namespaces that
        this was made in; what it does not want is let go of.
        """
        if not namespaces & CLONE_NEWIPC:
            self.discard()
        wanted = {operation[1]: operation for operation in operations if operation[0].startswith("mount")}
        usual = {operation[1]: operation for operation in _MOUNTS}
        usual[_CGROUP] = self._cgroup
        same = {target for target in self.mounts if wanted.get(target) == usual[target]}
        dev = {target for target in usual if target.startswith(_DEV)}
        if not namespaces & CLONE_NEWNET:
            same.discard(b"sys")
        done = self._done if namespaces & CLONE_NEWNET else []
        if dev <= same:
            done = [*done, *self._filled]
        else:
            same -= dev
        for target in [target for target in self.mounts if target not in same]:
            os.close(self.mounts.pop(target))
        return tuple(operation for operation in operations if operation not in done)

    def discard(self) -> None:
        """Let go of what nobody attaches."""
        while self.mounts:
            os.close(self.mounts.popitem()[1])
        if self.empty >= 0:
            os.close(self.empty)
            self.empty = -1


def device_links(*, pts: bool) -> tuple[tuple[bytes, bytes], ...]:
    """The specification's links of /dev (name, target); with `pts`, that of the terminals as well."""
    core = ((b"core", b"/proc/kcore"),) if os.path.exists("/proc/kcore") else ()
    return (*_LINKS, *core, (b"ptmx", b"pts/ptmx")) if pts else (*_LINKS, *core)


def cgroup_links(hierarchies: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """The links (name, target) beside hierarchies that have several controllers: cpu → cpu,cpuacct."""
    return tuple((part, name) for name, _path in hierarchies if b"," in name for part in name.split(b","))


def bind_hierarchies(
    top: int,
    flags: int,
    hierarchies: Sequence[tuple[bytes, bytes]],
    links: Sequence[tuple[bytes, bytes]],
) -> None:
    """Fill the tmpfs `top` with a bind for each hierarchy, (name, path), and set the MS_ `flags` on all."""
    for name, path in hierarchies:
        try:
            tree = m.open_tree(m.AT_FDCWD, path, m.OPEN_TREE_CLONE)
        except FileNotFoundError:
            continue
        try:
            os.mkdir(name, 0o755, dir_fd=top)
            m.move_mount(tree, top, name)
        finally:
            os.close(tree)
    for name, link in links:
        os.symlink(link, name, dir_fd=top)
    # Private: where this is done in the host's mount namespace, the binds are peers of the host's mounts.
    m.mount_setattr(top, attr_set=m.attributes_of(flags), propagation=m.MS_PRIVATE, recursive=True)


def empty_directory() -> int:
    """A directory that is empty, for good, as a detached mount."""
    context = m.fsopen(_TMPFS)
    m.fsconfig_options(context, (b"size=4k", b"nr_inodes=1", b"mode=0555"))
    m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
    fd = m.fsmount(context, m.attributes_of(_CLOSED | m.MS_RDONLY))
    os.close(context)
    return fd


def _file_system(type: bytes, source: bytes, flags: int, data: bytes | None) -> int:
    context = m.fsopen(type)
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", source)
        m.fsconfig_options(context, data.split(b",") if data else ())
        if flags & m.MS_RDONLY:
            m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"ro")
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        times = m.MOUNT_ATTR_STRICTATIME if flags & m.MS_STRICTATIME else 0
        return m.fsmount(context, m.attributes_of(flags) | times)
    finally:
        os.close(context)
