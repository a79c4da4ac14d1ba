"""Execute a plan: the parent's side. Loaded by the launcher, which imports nothing heavier than this."""

from __future__ import annotations

import marshal
import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair

from corten import errors
from corten.errors import CortenError, StartError
from corten.linux import vfork
from corten.linux.namespace import CLONE_NEWNS, CLONE_PARENT, clone3, setns
from corten.runtime import execute_hooks
from corten.runtime.cgroup import apply as cgroup
from corten.runtime.execute_ahead import Ahead, prepare
from corten.runtime.execute_child import (
    CONSOLE,
    CREATED,
    ERROR,
    GO,
    HOOKS,
    READY,
    WARNING,
    Child,
    report_exec,
    run,
    set_up,
)
from corten.runtime.execute_idmap import write_mappings
from corten.runtime.execute_parent import Preparation
from corten.runtime.execute_stdio import shield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.runtime.operations import Operation, Plan

__all__ = ["Spawned", "cleanup", "prepare", "reject", "spawn"]

_MESSAGE = 1 << 16


class Spawned:
    """A process that was made: `pid` and `pidfd` in the parent's pid namespace.

    `console` is the pty's master (or None). `held` is true while the process waits for the start byte: then
    `channel` becomes readable when the command runs or failed, and `finish()` tells which. `warnings` are
    what the specification lets a runtime clamp (one sentence each).
    """

    __slots__ = ("_plan", "channel", "console", "held", "pid", "pidfd", "warnings")

    def __init__(self, plan: Plan, pid: int, pidfd: int, channel: int) -> None:
        self._plan = plan
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.console: int | None = None
        self.held = False
        self.warnings = list(plan.warnings)

    def finish(self) -> None:
        """Wait until the held process runs its command; raises as `spawn` does. Closes `channel`."""
        try:
            self._serve()
        except BaseException:
            self._abandon()
            raise

    def _serve(self) -> None:
        """Answer the child until it waits for the start byte, or has executed."""
        handle = socket(fileno=self.channel)
        try:
            while True:
                data, ancillary, _flags, _address = handle.recvmsg(_MESSAGE, 64)
                kind, body = data[:1], data[1:]
                if not kind:
                    break
                if kind == READY:
                    self.held = True
                    return
                if kind == ERROR:
                    name, message = marshal.loads(body)
                    raise getattr(errors, name, StartError)(message)
                if kind == CONSOLE:
                    self.console = _descriptor(ancillary)
                elif kind == WARNING:
                    self.warnings.append(body.decode())
                elif kind == CREATED:
                    write_mappings(self.pid, self._plan.settings)
                    handle.send(GO)
                elif kind == HOOKS:
                    self._run_hooks("runtime_hooks")
                    handle.send(GO)
        finally:
            handle.detach()
        os.close(self.channel)
        self.channel = -1
        self.held = False
        if "poststart_hooks" in self._plan.settings:
            hooks, before, after = self._plan.settings["poststart_hooks"]
            self.warnings += execute_hooks.run_leniently(hooks, before + b"%d" % self.pid + after)

    def _run_hooks(self, name: str) -> None:
        hooks, before, after = self._plan.settings[name]
        execute_hooks.run(hooks, before + b"%d" % self.pid + after)

    def _abandon(self) -> None:
        """Leave nothing of a process that could not be started."""
        try:
            os.kill(self.pid, 9)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        for fd in (self.pidfd, self.channel, -1 if self.console is None else self.console):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.channel = -1
        self.console = None
        cleanup(self._plan)


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            return int.from_bytes(data[:4], "little")
    raise StartError("the container's terminal did not arrive")


def spawn(
    plan: Plan,
    *,
    stdio: tuple[int, int, int],
    console: bool = False,
    start_fd: int | None = None,
    on_created: Callable[[int, int], None] | None = None,
    on_held: Callable[[int, int], None] | None = None,
    on_mounts: Callable[[int], None] | None = None,
    ahead: Ahead | None = None,
) -> Spawned:
    """Make the process that `plan` describes; returns when it has executed its command.

    With `start_fd` (and a plan compiled with `hold`) it returns when the process waits to read one byte
    there; or, if `on_held` is given, perhaps when it has executed: then `on_held(pid, pidfd)` was called when
    it waited; else `Spawned.held` says that it waits. With `console`, the process gets a new pty instead
    of `stdio`. `on_created(pid, pidfd)` is called as soon as the process has its namespaces, before its root
    file system is set up. Both may be called in the process itself, which shares this one's memory, but has
    copies of its descriptors, and may have left its directories. Raises StartError, CommandNotFound,
    CommandNotExecutable, LimitError; nothing (process, cgroup, fd) is then left behind.
    `on_mounts(fd)` is called in the process itself, with a descriptor of its mount namespace, if it is new.
    `ahead` is what `prepare` gave.
    """
    settings = plan.settings
    group = settings["cgroup"]
    if group is not None and not settings["joins"]:
        cgroup.create(group, () if ahead is None else ahead.cgroup)
    elif ahead is not None:
        ahead.discard_cgroup()
    try:
        told = _Told(on_created, on_held) if start_fd is not None and on_held and not console else None
        hold = -1 if start_fd is None else start_fd
        spawned = _clone(plan, stdio, console, hold, told, on_mounts, ahead)
    except BaseException as error:
        cleanup(plan)
        if isinstance(error, OSError):
            raise StartError(
                f"cannot make the container's process: {error.strerror} ({error.filename})"
            ) from error
        raise
    try:
        if on_created is not None and (told is None or not told.shared):
            on_created(spawned.pid, spawned.pidfd)
        spawned._serve()
    except BaseException:
        spawned._abandon()
        raise
    return spawned


class _Told:
    """What a held process that shares our memory tells in our place, as we sleep until it has executed."""

    __slots__ = ("created", "held", "shared")

    def __init__(self, created: Callable[[int, int], None] | None, held: Callable[[int, int], None]) -> None:
        self.created = created
        self.held = held
        self.shared = False


def _clone(
    plan: Plan,
    stdio: tuple[int, int, int],
    console: bool,
    start_fd: int,
    told: _Told | None,
    on_mounts: Callable[[int], None] | None,
    ahead: Ahead | None,
) -> Spawned:
    settings = plan.settings
    group = settings["cgroup"]
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    entry = None
    preparation = Preparation(plan)
    shielded: list[int] = []
    try:
        if not console:
            stdio, shielded = shield(stdio, -1 if ahead is None else ahead.null)
        if group is not None:
            entry = cgroup.open_entry(group)
        flags, operations = settings["clone_flags"], plan.child
        if ahead is not None:
            flags, operations = ahead.take(plan)
        preparation.enter()
        child = Child(theirs.fileno(), stdio, console, start_fd, preparation.slots)
        if flags & CLONE_NEWNS:
            child.on_mounts = on_mounts
            if ahead is not None:
                child.usual, child.empty = ahead.usual.mounts, ahead.usual.empty
        unified = -1 if entry is None else entry[1]
        if settings["shares"] and (start_fd < 0 or told) and unified < 0 and vfork.usable():
            if told is not None:
                told.shared = True
                child.on_created, child.on_held = told.created, told.held
            shared = (ahead.shared if ahead else None) or vfork.Shared()
            shared.aim(lambda: set_up(child, operations, entry), lambda number: report_exec(child, number))
            pid, pidfd = shared.clone(flags)
        elif "joined_first" in settings:
            pid, pidfd = _clone_inside(settings["joined_first"], child, operations, entry)
        else:
            pid, pidfd = clone3(flags, cgroup=unified)
        if pid == 0:
            os.close(ours.fileno())
            run(child, operations, entry)
        return Spawned(plan, pid, pidfd, ours.detach())
    finally:
        preparation.leave()
        if entry is not None:
            cgroup.close_entry(entry)
        for fd in shielded:
            os.close(fd)
        theirs.close()
        ours.close()


def _clone_inside(
    flags: int, child: Child, operations: tuple[Operation, ...], entry: cgroup.Entry | None
) -> tuple[int, int]:
    """Clone from a process in between that has joined the container's namespaces, its user namespace first.

    What it clones is our child (CLONE_PARENT), and born in the container's pid namespace.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        try:
            setns(child.slots[0], flags)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            pid, _pidfd = clone3(CLONE_PARENT, cgroup=-1 if entry is None else entry[1])
            if pid == 0:
                run(child, operations, entry)
            os.write(write_end, b"%d" % pid)
        except OSError as error:
            os.write(write_end, f"{error.strerror} ({error.filename})".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    answer = os.read(read_end, 4096)
    os.close(read_end)
    os.waitpid(middle, 0)
    if not answer.isdigit():
        raise StartError(f"cannot enter the container's namespaces: {answer.decode()}")
    return int(answer), os.pidfd_open(int(answer))


def cleanup(plan: Plan) -> None:
    """Remove what outlives the process: its cgroup."""
    group = plan.settings["cgroup"]
    if group is not None and not plan.settings["joins"]:
        cgroup.remove(group)


def reject(error: BaseException) -> CortenError:
    """`error` as one that can be told to a person."""
    return error if isinstance(error, CortenError) else StartError(f"cannot start the process: {error}")
