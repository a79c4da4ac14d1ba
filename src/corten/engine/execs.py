"""The execs facet: further processes in a running container."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from corten.api.exec import ExecCreate, ExecInspect, ExecProcessConfig
from corten.engine.core import Core
from corten.engine.detach_keys import parse_detach_keys
from corten.engine.launching import Launching
from corten.engine.record import Container
from corten.engine.results import Attachment, StdioFds
from corten.engine.spec.merge import merge_env
from corten.engine.spec.security import capability_sets
from corten.engine.state import Status
from corten.errors import (
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    CortenError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from corten.launch.client import AttachHandle, ExitStatus, LaunchRequest, Monitor
from corten.launch.client import Attachment as ClientSocket
from corten.oci.runtime_spec import ConsoleSize, Process, User
from corten.runtime.plan import Plan, compile_exec

if TYPE_CHECKING:
    from corten.oci.runtime_spec import Spec

_AFTERWARDS = 0.001  # seconds
_KEPT = 64
"""How many ended execs of a container stay inspectable."""


@dataclass(slots=True)
class Exec:
    """One exec: what was asked for, and what became of it."""

    id: str
    container: Container
    request: ExecCreate
    monitor: Monitor | None = None
    pid: int = 0
    started: bool = False
    exit_code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    supervisor: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.started and self.exit_code is None

    def end(self, code: int) -> None:
        """It runs no more; who waits is told."""
        self.exit_code = code
        self.pid = 0
        self.ended.set()


class ExecService:
    """Create, start and look at execs."""

    def __init__(self, core: Core, launching: Launching) -> None:
        self._core = core
        self._launching = launching
        self._execs: dict[str, Exec] = {}

    async def create(self, ref: str, request: ExecCreate) -> str:
        """Registers an exec in the running container `ref`; returns its id. Nothing runs yet."""
        container = self._core.catalog.resolve(ref)
        self._check_running(container)
        if not request.cmd:
            raise InvalidArgument("No exec command specified")
        parse_detach_keys(request.detach_keys or None)
        process = Exec(secrets.token_hex(32), container, request)
        self._execs[process.id] = process
        container.execs[process.id] = None
        self._forget_old(container)
        asyncio.get_running_loop().call_soon(self._publish, process, f"exec_create: {' '.join(request.cmd)}")
        return process.id

    def check_start(self, exec_id: str) -> bool:
        """Raises what `start` would raise before it answers 101; returns whether the exec has a terminal."""
        process = self._get(exec_id)
        if process.started:
            raise Conflict(f"Error: Exec command {exec_id} is already running or has ended")
        self._check_running(process.container)
        return process.request.tty

    async def start(
        self,
        exec_id: str,
        *,
        detach: bool = False,
        tty: bool | None = None,
        console_size: tuple[int, int] | None = None,
        fd: int | None = None,
        stdio: StdioFds | None = None,
        on_launch: Callable[[], None] = lambda: None,
    ) -> Attachment | None:
        """Runs it. `fd` is the client's connection (owned by the engine from here on), None when detached.

        `console_size` is (height, width). `stdio`: the client's own descriptors instead of `fd`; the returned
        attachment then ends with the process. `on_launch` is called when another process is at work already,
        and has not written to `fd` yet: to answer the client takes this process no time then.
        """
        try:
            self.check_start(exec_id)
            process = self._get(exec_id)
            process.started = True
            client = None if detach else fd
            handle = await self._launch(process, console_size, client, stdio, on_launch=on_launch)
        finally:
            if fd is not None:
                os.close(fd)
            if stdio is not None:
                stdio.close()
        if detach:
            return None
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(self._follow(process, handle, closed))
        closed.add_done_callback(lambda _: task.cancel() if closed.cancelled() else None)
        return Attachment(closed)

    def inspect(self, exec_id: str) -> ExecInspect:
        process = self._get(exec_id)
        request = process.request
        if process.monitor is not None and (status := process.monitor.ended()) is not None:
            process.end(status.code)
        return ExecInspect(
            id=process.id,
            running=process.running,
            exit_code=process.exit_code,
            process_config=ExecProcessConfig(
                tty=request.tty,
                entrypoint=request.cmd[0],
                arguments=request.cmd[1:],
                privileged=request.privileged,
                user=request.user,
            ),
            open_stdin=request.attach_stdin,
            open_stdout=request.attach_stdout,
            open_stderr=request.attach_stderr,
            container_id=process.container.id,
            detach_keys=request.detach_keys,
            pid=process.pid,
        )

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        process = self._get(exec_id)
        if process.monitor is None:
            raise Conflict(f"exec {exec_id} is not running: its terminal cannot be resized")
        await process.monitor.resize(height, width)

    async def wait(self, exec_id: str) -> int:
        """The exit code, when it has ended."""
        process = self._get(exec_id)
        await process.ended.wait()
        return -1 if process.exit_code is None else process.exit_code

    async def run_check(self, container: Container, request: ExecCreate, timeout: float) -> tuple[int, str]:
        """Runs a command: exit code and output. TimeoutError (and it is killed) after `timeout` seconds."""
        process = Exec(secrets.token_hex(32), container, request)
        self._execs[process.id] = process
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        output = bytearray()
        try:
            self._publish(process, f"exec_create: {' '.join(request.cmd)}")
            process.started = True
            try:
                await self._launch(process, None, theirs.fileno(), None, mux=False)
            finally:
                theirs.close()
            async with asyncio.timeout(timeout):
                while data := await asyncio.get_running_loop().sock_recv(ours, 65536):
                    output += data[: max(0, 65536 - len(output))]
                await process.ended.wait()
        except (TimeoutError, asyncio.CancelledError):
            if process.monitor is not None:
                try:
                    await process.monitor.kill(9)
                except CortenError:
                    pass
            raise
        finally:
            ours.close()
            self._execs.pop(process.id, None)
        return process.exit_code or 0, output.decode(errors="replace")

    def forget(self, container: Container) -> None:
        """The container is gone, and its execs with it."""
        for exec_id in container.execs:
            self._execs.pop(exec_id, None)
        container.execs.clear()

    def close(self) -> None:
        """Lets go of the monitors; what runs goes on."""
        for process in self._execs.values():
            if process.supervisor is not None:
                process.supervisor.cancel()
            if process.monitor is not None:
                process.monitor.close()

    async def _launch(
        self,
        process: Exec,
        console_size: tuple[int, int] | None,
        fd: int | None,
        stdio: StdioFds | None,
        *,
        mux: bool | None = None,
        on_launch: Callable[[], None] = lambda: None,
    ) -> AttachHandle | None:
        container, request = process.container, process.request
        tty = request.tty
        client = None
        if fd is not None:
            client = ClientSocket(
                fd=fd,
                stdin=request.attach_stdin,
                stdout=request.attach_stdout or tty,
                stderr=request.attach_stderr and not tty,
                mux=not tty if mux is None else mux,
                # Without a terminal nobody types: the two bytes are data.
                detach_keys=parse_detach_keys(request.detach_keys or None) if tty else b"",
            )
        launch = LaunchRequest(
            container_id=container.id,
            joins=True,
            stdio="fds" if stdio else "monitor" if client else "null",
            tty=tty,
            open_stdin=request.attach_stdin,
            stdin_once=True,
            attachments=(client,) if client else (),
        )
        fds = (stdio.stdin, stdio.stdout, stdio.stderr) if stdio else ()
        try:
            # As with a container: the monitor gets ready while the plan is worked out.
            monitor = await self._core.launcher.launch(launch, fds)
            on_launch()
            try:
                plan = self._plan(process, console_size)
            except BaseException:
                await monitor.withdraw()
                raise
            monitor.give(plan)
            await monitor.start()
        except BaseException as error:
            process.end(code := _failure_code(error))
            self._publish(process, "exec_die", exitCode=str(code))
            raise
        process.monitor, process.pid = monitor, monitor.pid
        process.supervisor = asyncio.get_running_loop().create_task(self._supervise(process, monitor))
        self._publish(process, f"exec_start: {' '.join(request.cmd)}")
        return monitor.attachments[0] if client else None

    def _plan(self, process: Exec, console_size: tuple[int, int] | None) -> Plan:
        container, request = process.container, process.request
        size = console_size or (tuple(request.console_size) if len(request.console_size) == 2 else None)
        spec = container.spec or self._launching.spec(container)
        container.spec = spec
        if container.cgroup is None or container.cgroup[0] is not spec:
            container.cgroup = (spec, self._launching.cgroup_plan(spec))
        made_for = (container.cgroup, container.state.pid, size, request)
        if container.exec_plan is None or container.exec_plan[0] != made_for:
            plan = compile_exec(
                self._process(container, request, spec, size if request.tty else None),
                container_pid=container.state.pid,
                spec=spec,
                cgroup=container.cgroup[1],
            )
            container.exec_plan = (made_for, plan)
        return container.exec_plan[1]

    def _process(
        self, container: Container, request: ExecCreate, spec: Spec, size: tuple[int, ...] | None
    ) -> Process:
        base = spec.process
        assert base is not None
        capabilities = base.capabilities
        if request.privileged:
            capabilities = capability_sets((), (), True)
        env = merge_env(list(base.env or ()), ["TERM=xterm"] if request.tty else [])
        return msgspec.structs.replace(
            base,
            args=tuple(request.cmd),
            env=tuple(merge_env(env, request.env)),
            cwd=request.working_dir or base.cwd,
            terminal=request.tty,
            console_size=ConsoleSize(height=size[0], width=size[1]) if size else None,
            user=User(
                username=request.user or container.config.user or "0",
                additional_gids=() if request.user else base.user.additional_gids,
                additional_groups=() if request.user else base.user.additional_groups,
            ),
            capabilities=capabilities,
            apparmor_profile=None if request.privileged else base.apparmor_profile,
        )

    async def _supervise(self, process: Exec, monitor: Monitor) -> None:
        try:
            status = await monitor.wait()
        except Unavailable:
            status = ExitStatus(code=137, signal=9)
        process.end(status.code)
        # Whose output has ended asks for the exit code next: that is answered first.
        await asyncio.sleep(_AFTERWARDS)
        process.monitor = None
        monitor.close()
        self._publish(process, "exec_die", exitCode=str(status.code))

    async def _follow(self, process: Exec, handle: AttachHandle | None, closed: asyncio.Future[None]) -> None:
        try:
            if handle is None:
                await process.ended.wait()
            elif await handle.wait() == "keys":
                self._publish(process, "exec_detach")
        except CortenError:
            pass
        finally:
            if not closed.done():
                closed.set_result(None)

    def _publish(self, process: Exec, action: str, **attributes: str) -> None:
        self._core.publish(process.container, action, execID=process.id, **attributes)

    def _get(self, exec_id: str) -> Exec:
        process = self._execs.get(exec_id)
        if process is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return process

    def _check_running(self, container: Container) -> None:
        if container.state.status is Status.PAUSED:
            raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
        if container.state.status is Status.RESTARTING:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if container.state.status is not Status.RUNNING:
            raise Conflict(f"container {container.id} is not running")

    def _forget_old(self, container: Container) -> None:
        if len(container.execs) <= _KEPT:
            return
        for exec_id in list(container.execs):
            process = self._execs.get(exec_id)
            if process is None or process.exit_code is not None:
                container.execs.pop(exec_id)
                self._execs.pop(exec_id, None)
                if len(container.execs) <= _KEPT:
                    return


def _failure_code(error: BaseException) -> int:
    if isinstance(error, CommandNotFound):
        return 127
    return 126 if isinstance(error, (CommandNotExecutable, CortenError)) else 128
