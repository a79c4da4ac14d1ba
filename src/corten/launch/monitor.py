"""The monitor: parent of one container's PID 1 (or of an exec), owner of its stdio, log and exit status.

Forked from the launcher, it outlives both the launcher and the engine. One poll() loop, no threads. If it is
killed, the kernel kills its PID 1 (PDEATHSIG, set by `runtime.execute`): no container runs unwatched.

At the end, in this order: all output is in the log; exit.json is there; the engine is told; clients get the
rest of their output and are closed; the cgroup is removed; the control connections close. Whoever wants to
use the container's cgroup or run directory again waits for that last step.
"""

from __future__ import annotations

import fcntl
import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from corten.errors import CommandNotExecutable, CommandNotFound, CortenError
from corten.launch import messages
from corten.launch.attach import Client
from corten.launch.control import Control
from corten.launch.log_format import STDERR, STDOUT, LogWriter
from corten.launch.poller import POLLIN, Poller
from corten.launch.state_files import write_exit, write_state
from corten.launch.stdio import Stdio
from corten.runtime.cgroup.apply import oom_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from corten.runtime.operations import Plan

    class Spawned(Protocol):
        """What `Executor.spawn` returns: see runtime.execute.Spawned."""

        pid: int
        pidfd: int
        console: int | None
        channel: int
        held: bool

        def finish(self) -> None: ...

    class Executor(Protocol):
        """`runtime.execute`, or what a test puts in its place."""

        def spawn(self, plan: Plan, **options: Any) -> Spawned: ...
        def cleanup(self, plan: Plan) -> None: ...


CLIENT_PATIENCE_MS = 10_000  # how long a client may take nothing of the last output before it is dropped


class Monitor:
    """One container. `control`: the connection of the engine that asked for it."""

    __slots__ = (
        "_connections",
        "_console",
        "_directory",
        "_executor",
        "_exit",
        "_id",
        "_listener",
        "_pid",
        "_pidfd",
        "_plan",
        "_poller",
        "_release",
        "_settings",
        "_spawned",
        "_started_ns",
        "_stdio",
    )

    def __init__(self, control: socket, settings: dict[str, Any], plan: Plan, executor: Executor) -> None:
        self._settings = settings
        self._plan = plan
        self._executor = executor
        self._poller = Poller()
        self._connections = [Control(control, self._poller, self)]
        self._console = -1
        self._exit: tuple[Any, ...] | None = None
        self._pid = 0
        self._pidfd = -1
        self._release = -1
        self._spawned: Spawned | None = None
        self._started_ns = 0

    # -- the start

    def prepare(self) -> None:
        """Make the run directory and listen in it: from here on another engine can find this monitor."""
        run_dir: str = self._settings["run_dir"]
        os.makedirs(run_dir, 0o700, exist_ok=True)
        self._directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
        for name in ("exit.json", "monitor.sock"):  # of an earlier run
            try:
                os.unlink(name, dir_fd=self._directory)
            except FileNotFoundError:
                pass
        # sun_path holds 107 bytes, and two ids alone are 128.
        self._listener.bind(f"/proc/self/fd/{self._directory}/monitor.sock")
        self._listener.listen(16)
        self._poller.watch(self._listener.fileno(), POLLIN, self._on_connection)

    def start(self, fds: list[int]) -> None:
        """Make the stdio and PID 1. Raises what `spawn` raises; the caller then calls `fail`."""
        settings = self._settings
        log = None
        if settings["log_path"]:
            log = LogWriter(settings["log_path"], settings["log_max_size"], settings["log_max_file"])
        stdin_once = settings["stdin_once"] and not settings["tty"]
        self._stdio = Stdio(self._poller, log, self._on_detached, stdin_once)
        count = (
            3
            if settings["stdio"] == messages.STDIO_FDS and len(fds) - len(settings["attachments"]) >= 3
            else 0
        )
        ends = tuple(fds[:count]) if count else self._make_stdio()
        for fd, (handle, flags, keys) in zip(fds[count:], settings["attachments"], strict=True):
            self.attach(Client(fd, flags, handle, keys, self._connections[0]))
        start_fd = None
        if settings["hold"]:
            start_fd, self._release = os.pipe2(os.O_CLOEXEC)
        try:
            spawned = self._executor.spawn(
                self._plan,
                stdio=ends,
                console=bool(settings["tty"]) and not count,
                start_fd=start_fd,
                on_created=self._on_created,
            )
        finally:
            for fd in {*ends, *(() if start_fd is None else (start_fd,))}:
                os.close(fd)
        self._spawned = spawned
        self._pid, self._pidfd = spawned.pid, spawned.pidfd
        if spawned.console is not None:
            self._own_console(spawned.console)
        if spawned.held:
            self._poller.watch(spawned.channel, POLLIN, self._on_channel)
            self._write_state()
        else:
            self._has_started()
        self._poller.watch(self._pidfd, POLLIN, self._on_exit)

    def _make_stdio(self) -> tuple[int, int, int]:
        settings = self._settings
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if settings["tty"] or settings["stdio"] != messages.STDIO_MONITOR:
            return null, null, null
        stdin = null
        if settings["open_stdin"]:
            stdin, write_end = os.pipe2(os.O_CLOEXEC)
            os.close(null)
            self._stdio.set_input(write_end)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        self._stdio.add_output(out_read, STDOUT)
        self._stdio.add_output(err_read, STDERR)
        return stdin, out_write, err_write

    def _own_console(self, master: int) -> None:
        self._console = master
        if self._settings["stdio"] == messages.STDIO_MONITOR:
            # Duplicates: input and output are watched, and closed, apart from each other.
            self._stdio.add_output(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3), STDOUT)
            if self._settings["open_stdin"]:
                self._stdio.set_input(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3))

    def _on_created(self, pid: int) -> None:
        self._pid = pid
        pidfd = os.pidfd_open(pid)
        self.tell((messages.CREATED, pid), (pidfd,))
        os.close(pidfd)

    def _has_started(self) -> None:
        self._started_ns = time.time_ns()
        self._write_state()
        self.tell((messages.STARTED, self._started_ns))

    def _write_state(self) -> None:
        write_state(self._directory, self._settings["container_id"], self._pid, self._started_ns)

    def release(self) -> None:
        """Let a container that holds go on to its exec."""
        if self._release >= 0:
            os.write(self._release, b"1")
            os.close(self._release)
            self._release = -1

    def _on_channel(self, _events: int) -> None:
        spawned = self._spawned
        assert spawned is not None
        self._poller.forget(spawned.channel)
        try:
            spawned.finish()
        except (CortenError, OSError) as error:
            self._poller.forget(self._pidfd)
            self.fail(error)
        else:
            self._has_started()

    def fail(self, error: Exception) -> None:
        """Nothing was started: write that down, tell, and be done."""
        message = error.message if isinstance(error, CortenError) else f"cannot start the container: {error}"
        kind = type(error).__name__ if isinstance(error, CortenError) else "StartError"
        code = (
            127
            if isinstance(error, CommandNotFound)
            else 126
            if isinstance(error, CommandNotExecutable)
            else 128
        )
        self._exit = (messages.EXITED, code, 0, False, time.time_ns(), message)
        write_exit(self._directory, self._exit)
        self.tell((messages.FAILED, kind, message))

    # -- the engine

    def _on_connection(self, _events: int) -> None:
        try:
            fd, _address = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        control = Control(socket(fileno=fd), self._poller, self)
        self._connections.append(control)
        if self._pidfd >= 0:
            state = (self._settings["container_id"], self._pid, self._started_ns)
            control.send((messages.HELLO, state), (self._pidfd,))

    def disconnected(self, control: Control) -> None:
        """An engine is gone; the container does not notice."""
        self._connections.remove(control)

    def tell(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        """Send to every engine that is connected."""
        for control in self._connections[:]:
            control.send(message, fds)

    def attach(self, client: Client) -> None:
        self._stdio.add_client(client)

    def detach(self, origin: Control, handle: int) -> None:
        for client in self._stdio.clients:
            if client.origin is origin and client.handle == handle:
                self._stdio.drop(client, messages.DETACHED_CLOSED)
                return

    def _on_detached(self, client: Client, reason: str) -> None:
        if client.origin in self._connections:
            client.origin.send((messages.DETACHED, client.handle, reason))

    @property
    def console(self) -> int:
        """The terminal's master, or -1."""
        return self._console

    def rotate_log(self) -> None:
        if self._stdio.log is not None:
            self._stdio.log.rotate()

    # -- the end

    def _on_exit(self, _events: int) -> None:
        self._stdio.drain()
        _pid, status = os.waitpid(self._pid, 0)
        self._poller.forget(self._pidfd)
        if os.WIFSIGNALED(status):
            signal = os.WTERMSIG(status)
            code = 128 + signal
        else:
            signal, code = 0, os.WEXITSTATUS(status)
        cgroup = self._plan.settings.get("cgroup")
        oom_killed = cgroup is not None and oom_kills(cgroup) > 0
        self._exit = (messages.EXITED, code, signal, oom_killed, time.time_ns(), "")
        write_exit(self._directory, self._exit)
        self.tell(self._exit)

    def run(self) -> None:
        """Serve until the container has ended and everybody has been told."""
        poller = self._poller
        while self._exit is None:
            poller.run_once()
        stdio = self._stdio
        self._close_clients(only_done=True)
        self._executor.cleanup(self._plan)
        while stdio.clients and poller.run_once(CLIENT_PATIENCE_MS):
            self._close_clients(only_done=True)
        self._close_clients(only_done=False)

    def _close_clients(self, only_done: bool) -> None:
        for client in self._stdio.clients[:]:
            if not (only_done and client.pending):
                self._stdio.drop(client, messages.DETACHED_EXITED)
