"""Execute a plan: the child's side, from clone to exec. No import happens here, nothing is logged.

Each operation of `plan.child` is looked up in `HANDLERS` and called with the `Child`. What fails is told
to the parent over the channel as (class of `corten.errors`, sentence), and the child exits.
"""

from __future__ import annotations

import fcntl
import marshal
import os
from _socket import MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET, socket

from corten.errors import CortenError, InvalidArgument, StartError
from corten.linux import prctl as p
from corten.linux.namespace import CLONE_NEWCGROUP, CLONE_NEWTIME, setns, unshare
from corten.linux.openat2 import O_PATH, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2
from corten.linux.process import join_session_keyring, set_key_permissions, setdomainname, sethostname
from corten.linux.statfs import PROC_SUPER_MAGIC, file_system_type
from corten.runtime import (
    execute_command,
    execute_console,
    execute_hooks,
    execute_identity,
    execute_mounts,
    execute_provided,
    execute_root,
)
from corten.runtime.cgroup.apply import Entry, enter
from corten.runtime.execute_stdio import own_null

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.runtime.operations import Operation

READY, HOOKS, CONSOLE, WARNING, ERROR, CREATED, GO = b"R", b"H", b"M", b"W", b"E", b"P", b"G"


class Child:
    """What the operations of one child share. Descriptors that are not open are -1."""

    __slots__ = (
        "arguments",
        "channel",
        "console",
        "death_signal",
        "empty",
        "environment",
        "found",
        "on_created",
        "on_held",
        "on_mounts",
        "pid",
        "pidfd",
        "proc",
        "root",
        "slots",
        "start_fd",
        "stdio",
        "user",
        "usual",
    )

    def __init__(
        self, channel: int, stdio: tuple[int, int, int], console: bool, start_fd: int, slots: list[int]
    ) -> None:
        self.channel = channel
        self.stdio = stdio
        self.console = console
        self.start_fd = start_fd
        self.slots = slots
        # In a process that shares its parent's memory: what to tell, as the parent cannot.
        self.on_created: Callable[[int, int], None] | None = None
        self.on_held: Callable[[int, int], None] | None = None
        self.on_mounts: Callable[[int], None] | None = None
        self.pid = self.pidfd = -1
        self.root = -1
        self.proc = -1
        self.death_signal = 0
        self.arguments: list[bytes] = []
        self.environment: dict[bytes, bytes] = {}
        self.user: tuple[int, int, tuple[int, ...]] | None = None
        self.found = b""
        # Mounts that were made in advance, by their places: see `execute_usual`.
        self.usual: dict[bytes, int] = {}
        self.empty = -1

    def warn(self, message: str) -> None:
        """Tell the parent what was clamped."""
        os.write(self.channel, WARNING + message.encode())

    def ask(self, kind: bytes) -> None:
        """Tell the parent how far we are, and wait until it says go on."""
        os.write(self.channel, kind)
        if os.read(self.channel, 16) != GO:
            os._exit(1)

    def send_descriptor(self, kind: bytes, fd: int) -> None:
        """Hand a descriptor to the parent."""
        handle = socket(fileno=self.channel)
        handle.sendmsg([kind], [(SOL_SOCKET, SCM_RIGHTS, fd.to_bytes(4, "little"))])
        handle.detach()

    def open_proc(self, path: bytes, flags: int) -> int:
        """Open `path` below the /proc that we came from: verified to be one, and no link or mount leads
        out of it.

        The container's own /proc is never written to: what is there may be the work of another container that
        shares a volume (CVE-2025-52881).
        """
        return openat2(self.proc, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS)


def set_up(
    child: Child, operations: tuple[Operation, ...], entry: Entry | None
) -> tuple[bytes, list[bytes], list[bytes]] | None:
    """Become the container's process, up to exec: (path, argv, environment); None when it failed and
    was told.
    """
    name = "enter_cgroup"
    arguments: tuple[Any, ...] = ()
    try:
        if entry is not None:
            enter(entry)
        child.proc = os.open(b"/proc", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if file_system_type(child.proc) != PROC_SUPER_MAGIC:
            raise StartError("/proc of this host is not a proc file system: mount one there")
        if child.on_mounts is not None:
            name = "show_mounts"
            show_mounts(child, child.on_mounts)
        if child.on_held is not None:
            name = "identify"
            identify(child)
        for operation in operations:
            name = operation[0]
            arguments = operation[1:]
            HANDLERS[name](child, *arguments)
        environment = [name + b"=" + value for name, value in child.environment.items()]
        return child.found, child.arguments, environment
    except BaseException as error:
        if not isinstance(error, CortenError):
            error = StartError(describe_failure(name, arguments, error))
        report(child, error)
        return None


def show_mounts(child: Child, show: Callable[[int], None]) -> None:
    """Give away a descriptor of our mount namespace: who has it decides when our mounts are taken down."""
    fd = os.open(b"self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=child.proc)
    show(fd)
    os.close(fd)


def identify(child: Child) -> None:
    """Find our own pid, as the host has it, and tell that we are there."""
    child.pid = int(os.readlink(b"self", dir_fd=child.proc))
    child.pidfd = os.pidfd_open(os.getpid())
    if child.on_created is not None:
        child.on_created(child.pid, child.pidfd)


def run(child: Child, operations: tuple[Operation, ...], entry: Entry | None) -> None:
    """Become the container's process, in a fork. Does not return."""
    try:
        if set_up(child, operations, entry) is not None:
            try:
                os.execve(child.found, child.arguments, child.environment)
            except OSError as error:
                report_exec(child, error.errno or 0)
    finally:
        os._exit(1)


def report(child: Child, error: CortenError) -> None:
    """Tell the parent why there will be no exec."""
    handle = socket(fileno=child.channel)
    try:
        handle.send(ERROR + marshal.dumps((type(error).__name__, error.message)), MSG_NOSIGNAL)
    except OSError:
        # Whoever made this process has left (create and start are two commands): stderr is what remains.
        os.write(2, error.message.encode() + b"\n")
    finally:
        handle.detach()


def report_exec(child: Child, number: int) -> None:
    """Tell the parent why execve(2) failed."""
    report(child, execute_command.explain(child.found, number))


def describe_failure(name: str, arguments: tuple[Any, ...], error: BaseException) -> str:
    """One sentence: what could not be done, to what, and what the kernel says."""
    subject = next((item for item in arguments if isinstance(item, bytes) and len(item) < 4096), b"")
    what = f"cannot {name.replace('_', ' ')} {_text(subject)}".rstrip()
    if not isinstance(error, OSError):
        return f"{what}: {type(error).__name__}: {error}"
    where = f" ({_text(error.filename)})" if error.filename is not None else ""
    return f"{what}: {error.strerror}{where}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# -- small operations


def start(child: Child, death_signal: int) -> None:
    """A session of our own; no umask in the way of what is made."""
    os.umask(0)
    os.setsid()
    child.death_signal = death_signal
    if death_signal:
        p.prctl(p.PR_SET_PDEATHSIG, death_signal)


def become_root(child: Child, setgroups: bool) -> None:
    """Wait for the id mappings, then be root in the new user namespace."""
    child.ask(CREATED)
    os.setresgid(0, 0, 0)
    if setgroups:
        os.setgroups([])
    os.setresuid(0, 0, 0)


def join_namespaces(child: Child, slot: int, flags: int) -> None:
    """Enter namespaces of a running container (`slot` is its pidfd) or one by its file."""
    setns(child.slots[slot], flags)


def leave_root(child: Child, slot: int) -> None:
    """Where the container's root was not pivoted to: chroot to it."""
    os.fchdir(child.slots[slot])
    os.chroot(b".")


def take_root(child: Child) -> None:
    """Be root of the user namespace that was joined."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def unshare_namespaces(child: Child, flags: int) -> None:
    """Make namespaces that belong to the user namespace that was joined."""
    unshare(flags)


def unshare_cgroup(child: Child) -> None:
    """A cgroup namespace begins at the cgroup its maker is in: this comes after entering it."""
    unshare(CLONE_NEWCGROUP)


def unshare_time(child: Child, offsets: bytes) -> None:
    """A time namespace takes its offsets while it is empty."""
    unshare(CLONE_NEWTIME)
    if offsets:
        write_proc(child, b"self/timens_offsets", offsets)
    fd = os.open(b"self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=child.proc)
    setns(fd, CLONE_NEWTIME)
    os.close(fd)


def write_proc(child: Child, path: bytes, value: bytes) -> None:
    """Write to a file of /proc."""
    try:
        fd = child.open_proc(path, os.O_WRONLY)
    except FileNotFoundError:
        if not path.startswith(b"sys/"):
            raise
        name = path[4:].decode("utf-8", "replace").replace("/", ".")
        raise InvalidArgument(
            f"there is no sysctl {name} in this kernel: {_text(b'/proc/' + path)}"
        ) from None
    try:
        os.write(fd, value)
    except OSError as error:
        raise OSError(error.errno, error.strerror, b"/proc/" + path) from None
    finally:
        os.close(fd)


def set_oom_score(child: Child, value: bytes, floor: bool) -> None:
    """oom_score_adj; without CAP_SYS_RESOURCE it cannot go below the parent's: then it stays there."""
    try:
        write_proc(child, b"self/oom_score_adj", value)
    except PermissionError:
        if not floor:
            raise
        child.warn(f"oom_score_adj stays as it is: {value.decode()} is lower than this user may set")


def set_hostname(child: Child, name: bytes) -> None:
    sethostname(name)


def set_domainname(child: Child, name: bytes) -> None:
    setdomainname(name)


def new_keyring(child: Child, name: bytes) -> None:
    """A session keyring of the container's own, not the engine's (readable and linkable by its possessor)."""
    try:
        key = join_session_keyring(name)
        set_key_permissions(key, 0x3F1F0000)
    except OSError as error:
        if error.errno not in (1, 13, 38, 122):  # not permitted, denied, no such call, quota
            raise
        child.warn(f"no session keyring of its own: {error.strerror}")


def runtime_hooks(child: Child) -> None:
    """prestart and createRuntime hooks run in the parent, while we wait."""
    child.ask(HOOKS)


def container_hooks(child: Child, hooks: Any, before: bytes, after: bytes) -> None:
    """createContainer and startContainer hooks run here, in the container's namespaces."""
    pid = os.readlink(b"self", dir_fd=child.proc)
    execute_hooks.run(hooks, before + pid + after)


def set_label(child: Child, module: bytes, value: bytes) -> None:
    """The label that a security module gives the process at exec (the module's own file, or the
    shared one).
    """
    try:
        write_proc(child, b"self/attr/" + module + b"/exec", value)
    except FileNotFoundError:
        write_proc(child, b"self/attr/exec", value)


def hold(child: Child) -> None:
    """Tell the parent that all is set up, and wait for the start byte."""
    if child.on_held is not None:
        child.on_held(child.pid, child.pidfd)
    else:
        os.write(child.channel, READY)
    if child.start_fd < 0:
        return
    if not os.read(child.start_fd, 1):
        raise StartError("the container was not started: who held it back is gone")


def install_stdio(child: Child) -> None:
    """Put the given descriptors at 0, 1, 2 (a console has done so already)."""
    if child.console:
        return
    a, b, c = own_null(child.root, child.stdio)
    # A descriptor that sits in the way of another is moved above first.
    if b == 0 or c in (0, 1):
        a, b, c = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (a, b, c))
    for fd, place in ((a, 0), (b, 1), (c, 2)):
        if fd == place:
            os.set_inheritable(fd, True)
        else:
            os.dup2(fd, place)


HANDLERS: dict[str, Callable[..., None]] = {
    "start": start,
    "become_root": become_root,
    "join_namespaces": join_namespaces,
    "leave_root": leave_root,
    "take_root": take_root,
    "unshare": unshare_namespaces,
    "unshare_cgroup": unshare_cgroup,
    "unshare_time": unshare_time,
    "write_proc": write_proc,
    "set_oom_score": set_oom_score,
    "set_hostname": set_hostname,
    "set_domainname": set_domainname,
    "new_keyring": new_keyring,
    "runtime_hooks": runtime_hooks,
    "container_hooks": container_hooks,
    "hold": hold,
    "install_stdio": install_stdio,
    "propagate": execute_root.propagation,
    "bind_root": execute_root.directory,
    "mount_overlay": execute_root.overlay,
    "read_only_root": execute_root.readonly,
    "root_propagation": execute_root.root_propagation,
    "pivot": execute_root.pivot,
    "move_root": execute_root.move_root,
    "mount": execute_mounts.file_system,
    "mount_copy_up": execute_mounts.tmpfs_copy_up,
    "bind": execute_mounts.bind,
    "mount_layers": execute_provided.layers,
    "mount_file": execute_provided.file,
    "mount_cgroup2": execute_mounts.cgroup2,
    "mount_cgroup1": execute_mounts.cgroup1,
    "make_devices": execute_mounts.devices,
    "make_links": execute_mounts.symlinks,
    "make_directory": execute_mounts.directory,
    "mask": execute_mounts.mask,
    "make_read_only": execute_mounts.read_only,
    "console": execute_console.console,
    "exec_console": execute_console.exec_console,
    "interface_up": execute_identity.interface_up,
    "environment": execute_identity.environment,
    "resolve_user": execute_identity.resolve_user,
    "set_user": execute_identity.set_user,
    "set_rlimits": execute_identity.set_rlimits,
    "set_scheduler": execute_identity.set_scheduler,
    "set_ioprio": execute_identity.set_ioprio,
    "set_affinity": execute_identity.set_affinity,
    "set_personality": execute_identity.set_personality,
    "drop_bounding": execute_identity.drop_bounding,
    "set_capabilities": execute_identity.set_capabilities,
    "no_new_privileges": execute_identity.no_new_privileges,
    "seccomp": execute_identity.seccomp,
    "working_directory": execute_command.working_directory,
    "look_up": execute_command.look_up,
    "prepare_exec": execute_command.prepare_exec,
    "set_label": set_label,
    "change_root": execute_root.change_root,
    "init": execute_command.init,
}
