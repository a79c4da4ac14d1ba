"""The engine's side of launching: the launcher process, and one Monitor per running container or exec."""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from typing import Any, Literal

import msgspec

from corten.errors import CortenError, Unavailable
from corten.launch import messages, packets
from corten.launch.exit_status import ExitStatus, MonitorState, read_exit, read_state
from corten.launch.monitor_client import DEFAULT_DETACH_KEYS, AttachHandle, Attachment, Monitor
from corten.launch.spares import Spares
from corten.runtime.operations import Plan
from corten.runtime.reexec import is_protected, open_protected

__all__ = [
    "DEFAULT_DETACH_KEYS",
    "AttachHandle",
    "Attachment",
    "ExitStatus",
    "LaunchRequest",
    "Launcher",
    "Monitor",
    "MonitorState",
    "read_exit",
    "read_state",
]

_STDIO = {"monitor": messages.STDIO_MONITOR, "fds": messages.STDIO_FDS, "null": messages.STDIO_NULL}
_READY_TIMEOUT = 30.0
RUNTIME = "corten.runtime.execute"


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One container (or exec) to start.

    `plan`: without it, what needs no plan is prepared; then `Monitor.give` it, or `Monitor.withdraw`.
    `run_dir`: is made if missing; state.json, monitor.sock and exit.json appear in it, for the next engine.
    The caller removes it when it has no more use for it; what an earlier run left in it is replaced. None:
    no other engine will ask.
    `stdio`: "monitor": pipes or a terminal of the monitor's, logged to `log_path` (None: no log), clients can
    attach. "fds": the three fds given to `launch` become the process's stdio (no log, no attach); with `tty`
    and no fds the container's terminal is handed out by `Monitor.take_console()`. "null": /dev/null.
    `open_stdin`: keep stdin open (docker's -i), otherwise it is empty. `stdin_once`: the first client's
    half-close (or end) closes stdin (never a terminal).
    `files`: path and content of what is to be written before.
    `cgroup`: directories that the plan's cgroup will most likely have: (name of the hierarchy, directory).
    `joins`: it goes into a running container.
    `bound`: it is killed when its Monitor is closed, or this process dies; its mounts are taken down at once.
    `hold`: stop before exec until `Monitor.start()`; the plan must have been compiled with it.
    `log_max_size`: bytes (0: never rotate); `log_max_file`: how many files to keep.
    """

    container_id: str
    plan: Plan | None = None
    run_dir: Path | None = None
    log_path: Path | None = None
    stdio: Literal["monitor", "fds", "null"] = "monitor"
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    hold: bool = False
    log_max_size: int = 0
    log_max_file: int = 1
    attachments: tuple[Attachment, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    cgroup: tuple[tuple[str, str], ...] = ()
    joins: bool = False
    bound: bool = False

    def settings(self) -> tuple[Any, ...]:
        """In the order of `messages.SETTINGS`."""
        return (
            self.container_id,
            os.fspath(self.run_dir) if self.run_dir else "",
            os.fspath(self.log_path) if self.log_path else "",
            _STDIO[self.stdio],
            self.tty,
            self.open_stdin,
            self.stdin_once,
            self.hold,
            self.log_max_size,
            self.log_max_file,
            tuple(
                (handle, client.flags(), client.detach_keys) for handle, client in enumerate(self.attachments)
            ),
            self.files,
            self.bound,
            self.cgroup,
            self.joins,
        )


class Launcher:
    """Owns the launcher process and starts it again when it dies; the launcher ends when this one does.

    `executor` is the module that makes processes; `module_path` is put before the packages' directory for it.
    """

    def __init__(self, run_dir: Path, executor: str, module_path: tuple[str, ...]) -> None:
        self._run_dir = run_dir
        self._executor = executor
        self._module_path = module_path
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self.spares = Spares(self._loop.remove_reader)
        self._restarting: asyncio.Task[None] | None = None
        self._monitors: dict[Path, Monitor] = {}
        self._closed = False
        # What containers get: what this process was started with.
        self._soft_limit, self._hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)

    @classmethod
    async def start(
        cls, *, run_dir: Path, executor: str = RUNTIME, module_path: tuple[str, ...] = ()
    ) -> Launcher:
        """Start the launcher process. `run_dir` ($CORTEN_RUN) holds its lock: two never fork side by side."""
        self = cls(run_dir, executor, module_path)
        if self._soft_limit != self._hard_limit:  # two descriptors for each container
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._hard_limit, self._hard_limit))
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._spawn()
        return self

    @property
    def pid(self) -> int:
        """The launcher process; 0 while there is none."""
        return self._process.pid if self._process else 0

    async def _spawn(self) -> None:
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        ours.setblocking(False)
        package_parent = str(Path(__file__).resolve().parents[2])
        # PID 1 of a container is, until it executes, a fork of the launcher: its /proc/self/exe must not
        # lead to an interpreter that can be written to.
        interpreter = -1 if is_protected() else open_protected()
        arguments = (
            theirs.fileno(),
            interpreter,
            str(self._run_dir / "launcher.lock"),
            self._executor,
            self._soft_limit,
        )
        program = (
            f"import sys; sys.path[:0] = {list(self._module_path)!r}; sys.path.append({package_parent!r})\n"
            f"from corten.launch.launcher import main\n"
            f"main{arguments!r}"
        )
        ready = self._loop.create_future()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program],
                executable=sys.executable if interpreter < 0 else f"/proc/self/fd/{interpreter}",
                pass_fds=tuple(fd for fd in (theirs.fileno(), interpreter) if fd >= 0),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"},
            )
        if interpreter >= 0:
            os.close(interpreter)
        self._socket = ours
        self._loop.add_reader(ours, self._on_readable, ready)
        try:
            await asyncio.wait_for(ready, _READY_TIMEOUT)
        except BaseException as error:
            self._disconnect()
            self._process.kill()
            await self._reap()
            if not isinstance(error, TimeoutError):
                raise
            raise Unavailable(
                f"the launcher did not start within {_READY_TIMEOUT:.0f} s; another one may still hold "
                f"{self._run_dir / 'launcher.lock'}"
            ) from None
        if self._queue:
            self._loop.add_writer(ours, self._flush)
        if self._executor == RUNTIME:
            self._send_rehearsal()

    def _send_rehearsal(self) -> None:
        """Let the launcher warm up while the engine starts; imported when the launcher is running."""
        from corten.launch.rehearsal_plan import rehearsal_plan

        try:
            plan = rehearsal_plan(self._run_dir / "rehearsal")
            packets.send(self._socket, (messages.REHEARSE, plan.to_primitive()))
        except (CortenError, OSError):
            pass  # it only makes the first starts slower

    def _on_readable(self, ready: asyncio.Future[None]) -> None:
        try:
            message, fds = packets.receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is not None:
            if message[0] == messages.SPARE:
                spare = socket(AF_UNIX, SOCK_SEQPACKET, 0, fds[0])
                self.spares.add(spare, namespaces=message[1])
                self._loop.add_reader(spare, self._on_spare, spare)
            elif not ready.done():
                ready.set_result(None)
            return
        self._disconnect()
        if not ready.done():
            ready.set_exception(
                Unavailable("the launcher ended before it was ready; its standard error says why")
            )
        elif not self._closed:
            self._start_again()

    def _on_spare(self, spare: socket) -> None:
        self._loop.remove_reader(spare)
        self.spares.ready(spare)

    def _disconnect(self) -> None:
        self.spares.drop()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _start_again(self) -> asyncio.Task[None]:
        if self._restarting is None or self._restarting.done():
            self._restarting = self._loop.create_task(self._restart())
            self._restarting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._restarting

    async def _restart(self) -> None:
        try:
            await self._reap()
            await self._spawn()
        except BaseException:
            self._drop_queue()  # who waits for these finds their monitors gone; the next launch tries again
            raise

    def _drop_queue(self) -> None:
        while self._queue:
            for fd in self._queue.popleft()[1]:
                os.close(fd)

    async def _reap(self) -> None:
        process, self._process = self._process, None
        while process is not None and process.poll() is None:  # its socket is closed: it is about to end
            await asyncio.sleep(0.002)

    async def launch(self, request: LaunchRequest, fds: Sequence[int] = ()) -> Monitor:
        """Ask for a container; returns at once, before it exists: go on with `created()` or `start()`.

        `fds` and the attachments' fds stay the caller's: close them when this has returned. If an earlier
        monitor of the same run directory is still at its last step (removing the cgroup), it is waited for.
        """
        previous = self._monitors.get(request.run_dir) if request.run_dir else None
        if previous is not None:
            await previous.gone()
        if self._closed:
            raise Unavailable("the launcher has been closed: the engine is stopping")
        if self._socket.fileno() < 0 or (self._restarting is not None and not self._restarting.done()):
            await asyncio.shield(self._start_again())
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            payload, memfd = packets.encode((messages.LAUNCH, request.settings()))
            passed = [theirs.fileno(), *fds, *(client.fd for client in request.attachments)]
            if memfd >= 0:
                passed.insert(0, memfd)
            if not self.spares.use(payload, passed, namespaces=not request.joins):
                self._send(payload, passed)
            if self.spares.namespaces == request.joins:
                self._tell_next(not request.joins)
            if memfd >= 0:
                os.close(memfd)
        monitor = Monitor(ours, request.container_id, request.hold, len(request.attachments))
        if request.plan is not None:
            monitor.give(request.plan)
        if request.run_dir is not None:
            self._monitors[request.run_dir] = monitor
            monitor.on_gone(functools.partial(self._forget, request.run_dir, monitor))
        return monitor

    def _tell_next(self, namespaces: bool) -> None:
        """What comes next is most often like this one."""
        try:
            packets.send(self._socket, (messages.NEXT, namespaces))
        except OSError:
            return  # it is busy, or gone: the next request tries again
        self.spares.namespaces = namespaces

    def _forget(self, run_dir: Path, monitor: Monitor) -> None:
        if self._monitors.get(run_dir) is monitor:
            del self._monitors[run_dir]

    def _send(self, payload: bytes, fds: list[int]) -> None:
        if not self._queue:
            try:
                packets.send_packet(self._socket, payload, fds)
                return
            except BlockingIOError:
                pass
            except OSError:
                pass  # it has died, and its socket's reader is about to notice: the next one gets the request
        self._queue.append((payload, [os.dup(fd) for fd in fds]))
        if self._socket.fileno() >= 0:
            self._loop.add_writer(self._socket, self._flush)

    def _flush(self) -> None:
        while self._queue:
            payload, fds = self._queue[0]
            try:
                packets.send_packet(self._socket, payload, fds)
            except BlockingIOError:
                return
            except OSError:
                break  # the end of the socket is noticed by its reader; the next launcher gets the queue
            self._queue.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._socket)

    async def close(self) -> None:
        """End the launcher. Containers and their monitors stay."""
        if self._closed:
            return
        self._closed = True
        if self._restarting is not None:
            self._restarting.cancel()
        self._disconnect()
        self._drop_queue()
        for monitor in list(self._monitors.values()):
            monitor.close()
        await self._reap()
