"""The starter: the monitor's short-lived helper that makes the container's process, and then ends.

Whatever runs Python code after a fork gets private copies of the pages it touches (each reference count is a
write). To make a container is a lot of code, and it is needed once, so it runs here: the starter is the
monitor's child, and makes PID 1 with CLONE_PARENT, as the monitor's child. What it opened goes to the
monitor in one message; its pages end with it. On a second processor its work overlaps with the monitor's.
"""

from __future__ import annotations

import errno
import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from corten.errors import CommandNotExecutable, CommandNotFound, CortenError, NoSpace, StartError
from corten.launch import messages, packets
from corten.launch.log_format import open_log
from corten.launch.state_files import write_exit, write_state
from corten.runtime.operations import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Spawned(Protocol):
        """What `Executor.spawn` returns: see runtime.execute.Spawned."""

        pid: int
        pidfd: int
        console: int | None
        held: bool

        def finish(self) -> None: ...

    class Executor(Protocol):
        """`runtime.execute`, or what a test puts in its place."""

        def prepare(self, origin: int, *, namespaces: bool) -> Any: ...
        def spawn(self, plan: Plan, **options: Any) -> Spawned: ...
        def cleanup(self, plan: Plan) -> None: ...


CLONE_PARENT = 0x00008000

_AFTERWARDS = 0.005  # seconds


class Starter:
    """Carries out one LAUNCH request (`payload`, `fds`). `monitor`: the socket to the monitor."""

    def __init__(
        self,
        payload: bytes,
        fds: list[int],
        lock: int,
        monitor: socket,
        executor: Executor,
        ahead: Any = None,
    ) -> None:
        """`ahead`: what `executor.prepare` has given."""
        _kind, values = packets.decode(payload, fds)
        self._settings: dict[str, Any] = dict(zip(messages.SETTINGS, values, strict=True))
        self._fds = fds
        self._lock = lock
        self._monitor = monitor
        self._executor = executor
        self._ahead = ahead
        self._control = packets.connection(os.dup(fds[0]))
        self._directory = -1
        self._monitor_pid = os.getppid()
        self._is_held = False
        self._pidfd = -1
        self._ends: tuple[int, int, int] = (-1, -1, -1)
        self._start_fd: int | None = None
        # What the monitor gets: its name there, the descriptor.
        self._resources: list[tuple[str, int]] = [("control", fds[0])]

    def run(self) -> None:
        """Prepare, until the plan comes; hand over; make the process; wait for the end of its hold."""
        try:
            self._open_run_dir()
            os.close(self._lock)
            self._make_stdio()
            self._write_files()
            if self._ahead is not None:
                self._ahead.make_cgroup(self._settings["cgroup"])
            plan = self._receive_plan()
            if plan is None:
                if self._ahead is not None:
                    self._ahead.discard_cgroup()
                return
            self._hand_over(plan)
            spawned = self._executor.spawn(
                plan,
                stdio=self._ends,
                console=self._has_console(),
                start_fd=self._start_fd,
                on_created=self._on_created if self._start_fd is not None else None,
                on_held=self._on_held,
                on_mounts=self._on_mounts,
                ahead=self._ahead,
            )
        except Exception as error:
            if self._ahead is not None:
                self._ahead.discard_cgroup()
            failure = self._failed(error)
            if not self._is_held:  # else the monitor tells
                self._tell(failure)
            packets.send(self._monitor, failure)
            return
        if self._is_held:
            self._finish_hold(spawned.pid)
            return
        fds = (spawned.pidfd,) if spawned.console is None else (spawned.pidfd, spawned.console)
        if spawned.held:
            for fd in {*self._ends, *(() if self._start_fd is None else (self._start_fd,))}:
                os.close(fd)
            packets.send(self._monitor, (messages.CREATED, spawned.pid), fds)
            try:
                spawned.finish()
            except Exception as error:
                packets.send(self._monitor, self._failed(error))
                return
            self._finish_hold(spawned.pid)
            return
        self._pidfd = spawned.pidfd
        started_at_ns = time.time_ns()
        started = (messages.STARTED, started_at_ns, spawned.pid)
        self._tell(started, (spawned.pidfd,))
        packets.send(self._monitor, started, fds)
        self._let_go()  # clients wait for the end of what we have open
        # Nobody waits for the rest. Our end takes the kernel longer than a short command runs, and those who
        # were just woken would wait for it on this processor.
        time.sleep(_AFTERWARDS)
        self._write_state(spawned.pid, started_at_ns)

    def _finish_hold(self, pid: int) -> None:
        started_at_ns = time.time_ns()
        self._write_state(pid, started_at_ns)
        packets.send(self._monitor, (messages.STARTED, started_at_ns, pid))

    def _receive_plan(self) -> Plan | None:
        """The plan; None if the engine has thought better of it, or is gone."""
        try:
            message, fds = packets.receive_all(self._control)
        except ConnectionError:
            return None
        if message is None or message[0] != messages.PLAN:
            for fd in fds:
                os.close(fd)
            return None
        plan = Plan.from_primitive(message[1])
        plan.settings["clone_flags"] |= CLONE_PARENT
        return plan

    def close(self) -> None:
        """Close what it has open; a starter's process just ends instead."""
        self._let_go()
        if self._directory >= 0:
            os.close(self._directory)

    def _let_go(self) -> None:
        """Close all but the run directory."""
        self._control.close()
        fds = {*self._fds, *self._ends, self._pidfd, *(fd for _name, fd in self._resources)}
        for fd in fds - {-1, self._directory}:
            os.close(fd)
        self._fds, self._ends, self._pidfd, self._resources = [], (-1, -1, -1), -1, []

    def _open_run_dir(self) -> None:
        """Make the run directory, if there is to be one, and listen in it: from here on another engine can
        find the monitor."""
        run_dir: str = self._settings["run_dir"]
        if not run_dir:
            return
        os.makedirs(run_dir, 0o700, exist_ok=True)
        self._directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in ("exit.json", "monitor.sock"):  # of an earlier run
            try:
                os.unlink(name, dir_fd=self._directory)
            except FileNotFoundError:
                pass
        listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
        # sun_path holds 107 bytes, and two ids alone are 128.
        listener.bind(f"/proc/self/fd/{self._directory}/monitor.sock")
        listener.listen(16)
        self._resources += [("directory", self._directory), ("listener", listener.detach())]

    def _write_files(self) -> None:
        for path, content in self._settings["files"]:
            try:
                # In place: a container may have bound it already.
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
                try:
                    os.write(fd, content)
                finally:
                    os.close(fd)
            except OSError as error:
                kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else StartError
                raise kind(f"cannot write {path} for the container: {error.strerror}") from error

    def _client_fds(self) -> int:
        """How many of the request's descriptors are the process's stdio."""
        return 3 if len(self._fds) - 1 - len(self._settings["attachments"]) >= 3 else 0

    def _has_console(self) -> bool:
        return bool(self._settings["tty"]) and not self._client_fds()

    def _make_stdio(self) -> None:
        settings = self._settings
        if settings["log_path"]:
            self._resources.append(("log", open_log(settings["log_path"])))
        if settings["hold"]:
            self._start_fd, release = os.pipe2(os.O_CLOEXEC)
            self._resources.append(("release", release))
        if self._client_fds():
            self._ends = (self._fds[1], self._fds[2], self._fds[3])
            return
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if settings["tty"] or settings["stdio"] != messages.STDIO_MONITOR:
            self._ends = (null, null, null)
            return
        stdin = null
        if settings["open_stdin"]:
            stdin, end = os.pipe2(os.O_CLOEXEC)
            self._resources.append(("stdin", end))
            os.close(null)
        stdout, out_end = os.pipe2(os.O_CLOEXEC)
        stderr, err_end = os.pipe2(os.O_CLOEXEC)
        self._resources += [("stdout", stdout), ("stderr", stderr)]
        self._ends = (stdin, out_end, err_end)

    def _tell(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        try:
            packets.send(self._control, message, fds)
        except OSError:
            pass  # the engine is gone; the next one asks the monitor

    def _on_created(self, pid: int, pidfd: int) -> None:
        """It is there, and will hold: the engine connects its network while it sets itself up."""
        self._tell((messages.CREATED, pid), (pidfd,))
        self._write_state(pid, 0)

    def _on_mounts(self, fd: int) -> None:
        """Called in the process itself. The monitor must have this before a process that ends at once."""
        packets.send(self._monitor, (messages.MOUNTS,), (fd,))

    def _on_held(self, pid: int, pidfd: int) -> None:
        """Called in the process itself, which shares this one's memory: this one sleeps until it executes."""
        self._is_held = True
        packets.send(self._monitor, (messages.CREATED, pid), (pidfd,))

    def _write_state(self, pid: int, started_at_ns: int) -> None:
        if self._settings["bound"] or self._directory < 0:
            return  # nobody else will look for it
        write_state(self._directory, self._settings["container_id"], pid, started_at_ns, self._monitor_pid)

    def _hand_over(self, plan: Plan) -> None:
        """Let the monitor get ready, on another processor, while the process is made."""
        settings = self._settings
        state = (
            settings["container_id"],
            settings["log_path"],
            settings["log_max_size"],
            settings["log_max_file"],
            settings["stdio"] == messages.STDIO_MONITOR,
            settings["open_stdin"],
            settings["stdin_once"] and not settings["tty"],
            settings["attachments"],
            settings["bound"],
        )
        names = tuple(name for name, _fd in self._resources)
        cleanup = (plan.settings.get("cgroup"), plan.settings.get("joins"))
        clients = self._fds[len(self._fds) - len(settings["attachments"]) :]
        fds = [*(fd for _name, fd in self._resources), *clients]
        packets.send(self._monitor, (messages.RUNNING, state, names, cleanup), fds)
        if settings["hold"]:
            # Or the hold would not end with the monitor.
            os.close(next(fd for name, fd in self._resources if name == "release"))
            self._resources = [item for item in self._resources if item[0] != "release"]

    def _failed(self, error: Exception) -> tuple[Any, ...]:
        """Write down that there will be no container; what to tell of it."""
        message = error.message if isinstance(error, CortenError) else f"cannot start the container: {error}"
        kind = type(error).__name__ if isinstance(error, CortenError) else "StartError"
        code = 128
        if isinstance(error, (CommandNotFound, CommandNotExecutable)):
            code = 127 if isinstance(error, CommandNotFound) else 126
        if self._directory >= 0:
            write_exit(self._directory, (messages.EXITED, code, 0, False, time.time_ns(), message))
        return (messages.FAILED, kind, message)
