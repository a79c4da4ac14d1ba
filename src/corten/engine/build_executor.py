"""RUN: a process in a container of its own, which nobody sees but the build that it belongs to.

::

    $CORTEN_ROOT/build/running/<id>/   work, and what is mounted: hosts, resolv.conf, hostname, sockets
    $CORTEN_RUN/builds/<id>/           the monitor's

The process is bound to this engine: should that be killed, the monitor kills it, and what is left is removed
by the next engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from corten.build.graph import Exec
from corten.build.solve.cache_mounts import CacheMounts
from corten.build.solve.ending import settled
from corten.build.solve.failure import ProcessFailed
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Draft, Drafted, ExecRequest, Log, Terminal
from corten.build.solve.upper import settle_upper
from corten.engine.build_devices import DIRECTORIES, DeviceEdits, find_devices
from corten.engine.build_mounts import MOUNT_POINTS, RunMounts, lowest_layer
from corten.engine.build_output import Output
from corten.engine.build_spec import HOSTNAME, check_allowed, exec_spec
from corten.engine.core import Core
from corten.engine.run_directory import clear_run_directory
from corten.engine.spec.build import Surroundings
from corten.errors import CommandNotExecutable, CommandNotFound, CortenError, Unavailable
from corten.launch.client import Attachment, ExitStatus, LaunchRequest, Monitor
from corten.network.files import hostname_file, hosts_file, resolv_conf
from corten.network.model import EndpointSettings
from corten.runtime.cgroup.compile import compile_cgroup
from corten.runtime.cgroup.control import Cgroup
from corten.runtime.plan import Overlay, Plan, compile_plan

_PATIENCE = 10.0
_PREFIX = "build-"
_CGROUP_FILE = "cgroup"


@dataclass(frozen=True, slots=True)
class _Container:
    """One RUN that is about to run. `plan` works out how; `points`: where things get mounted."""

    id: str
    cgroup: str
    run_dir: Path
    plan: Callable[[], Plan]
    files: tuple[tuple[str, bytes], ...]
    lowers: tuple[str, ...]
    points: tuple[str, ...]
    has_network: bool


class BuildExecutor:
    """`build.solve.protocols.Executor`, on the engine's launcher. `device_directories` are where CDI
    specifications are."""

    def __init__(
        self,
        core: Core,
        layers: LayerStore,
        mounts: CacheMounts,
        *,
        device_directories: Sequence[Path] = DIRECTORIES,
    ) -> None:
        self.device_directories = tuple(device_directories)
        self._core = core
        self._layers = layers
        self._mounts = mounts
        self._running = core.paths.build_steps
        self._runs = core.paths.build_runs
        self._empty = core.paths.build / "empty"
        for path in (self._running, self._runs, self._empty):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lowest = lowest_layer(core.paths.build / "mount-points")
        self._ending: set[asyncio.Task[None]] = set()

    # -- Executor

    async def run(self, request: ExecRequest, draft: Draft, log: Log) -> Drafted:
        """See Executor."""
        async with AsyncExitStack() as stack:
            container = await self._prepare(request, draft, stack, log)
            async with Output(log) as output:
                try:
                    status = await self._carry_out(container, _launch(container, stdio="fds"), output.give)
                except (CommandNotFound, CommandNotExecutable) as error:
                    raise _not_started(request, error) from error
                await output.ended()
            self._check(request, status)
            return await asyncio.to_thread(
                settle_upper,
                str(draft.directory / "fs"),
                container.lowers,
                container.points,
                request.epoch,
            )

    async def debug(self, request: ExecRequest, draft: Draft, args: Sequence[str], terminal: Terminal) -> int:
        """See Executor."""
        operation = msgspec.structs.replace(request.operation, args=tuple(args))
        asked = ExecRequest(
            operation,
            request.name,
            request.root,
            request.binds,
            None,
            request.secrets,
            request.allowed,
        )
        size = (terminal.rows, terminal.columns) if terminal.tty else None
        async with AsyncExitStack() as stack:
            container = await self._prepare(asked, draft, stack, lambda stream, data: None, terminal=size)

            attachment = Attachment(fd=terminal.fd, stdin=True, mux=not terminal.tty, detach_keys=b"")
            launch = _launch(container, stdio="monitor", tty=terminal.tty, attachments=(attachment,))
            status = await self._carry_out(container, launch, tuple, lambda m: terminal.started(m.resize))
        return status.code

    async def close(self) -> None:
        """See Executor."""
        await asyncio.gather(*self._ending)

    async def recover(self) -> None:
        """See Executor."""
        for entry in list(self._runs.iterdir()):
            with contextlib.suppress(Unavailable, FileNotFoundError, ConnectionError):
                monitor = await Monitor.connect(entry)
                with contextlib.suppress(CortenError):
                    await monitor.kill(9)
                await monitor.gone()
                monitor.close()
        names = {entry.name for entry in (*self._runs.iterdir(), *self._running.iterdir())}
        for name in names:
            cgroup = f"{self._core.cgroup_parent}/{_PREFIX}{name}"
            with contextlib.suppress(FileNotFoundError):
                cgroup = (self._running / name / _CGROUP_FILE).read_text()
            await asyncio.to_thread(self._remove_cgroup, cgroup)
            clear_run_directory(self._runs / name)
            self._core.trash.discard(self._running / name)

    # -- getting ready

    async def _prepare(
        self,
        request: ExecRequest,
        draft: Draft,
        stack: AsyncExitStack,
        log: Log,
        *,
        terminal: tuple[int, int] | None = None,
    ) -> _Container:
        core, operation = self._core, request.operation
        check_allowed(operation, request.allowed)
        edits, missing = find_devices(operation.devices, self.device_directories)
        for name in missing:
            log(2, f"there is no device {name} here; it is not required\n".encode())
        directory = self._running / draft.id
        stack.callback(core.trash.discard, directory)
        for path in (directory, directory / "work"):
            path.mkdir(mode=0o711)
        upper = draft.directory / "fs"
        upper.mkdir(mode=0o755)
        if operation.limits.cgroup_parent:
            (directory / _CGROUP_FILE).write_text(self._cgroup(request, draft.id))
        mounts = RunMounts(request, directory, self._layers, self._mounts, stack, log, self._empty)
        await mounts.open()
        files = self._files(operation)
        lowers = self._layers.lowers(request.root.layers)

        def plan() -> Plan:
            return self._plan(request, draft, lowers, mounts, edits, tuple(files), terminal)

        return _Container(
            draft.id,
            self._cgroup(request, draft.id),
            self._runs / draft.id,
            plan,
            tuple((f"{directory}/{name}", text.encode()) for name, text in files.items()),
            lowers,
            (*MOUNT_POINTS, *(mount.destination for mount in (*edits.mounts, *mounts.mounts))),
            operation.network == "default",
        )

    def _plan(
        self,
        request: ExecRequest,
        draft: Draft,
        lowers: tuple[str, ...],
        mounts: RunMounts,
        edits: DeviceEdits,
        files: tuple[str, ...],
        terminal: tuple[int, int] | None,
    ) -> Plan:
        core, directory = self._core, self._running / draft.id
        cgroup = self._cgroup(request, draft.id)
        spec = exec_spec(
            request.operation,
            draft.id,
            mounts.environment,
            edits,
            Surroundings(
                directory=str(directory),
                cgroup=cgroup,
                files={f"/etc/{name}": f"{directory}/{name}" for name in files},
                rootless=core.rootless,
            ),
            host_name=core.host_name,
            terminal=terminal,
        )
        assert spec.linux is not None
        upper = f"{draft.directory}/fs"
        return compile_plan(
            spec,
            root=Overlay(
                lowers=(*lowers, str(self._lowest)),
                upper=upper,
                work=f"{directory}/work",
                volatile=True,
                mountpoint=upper,
            ),
            cgroup=compile_cgroup(
                cgroup, spec.linux.resources, layout=core.layout, best_effort=core.rootless
            ),
            container_id=draft.id,
            bundle=str(directory),
            hold=request.operation.network == "default",
            more_mounts=(*edits.mounts, *mounts.mounts),
        )

    def _cgroup(self, request: ExecRequest, identity: str) -> str:
        parent = request.operation.limits.cgroup_parent or self._core.cgroup_parent
        return f"{parent}/{_PREFIX}{identity}"

    def _files(self, operation: Exec) -> dict[str, str]:
        network = self._core.network
        on_host = operation.network == "host"
        hostname = operation.hostname or (self._core.host_name if on_host else HOSTNAME)
        hosts = hosts_file(
            hostname=hostname,
            address="127.0.0.1",
            extra_hosts=[f"{name}={address}" for name, address in operation.extra_hosts],
            gateway=network.host_gateway if operation.extra_hosts else "",
        )
        return {
            "hosts": hosts,
            "hostname": hostname_file(hostname),
            "resolv.conf": resolv_conf(host_network=on_host, forwarder=network.forwarder),
        }

    # -- running

    async def _carry_out(
        self,
        container: _Container,
        request: LaunchRequest,
        fds: Callable[[], Sequence[int]],
        started: Callable[[Monitor], None] = lambda monitor: None,
    ) -> ExitStatus:
        """Runs the process and waits for its end, and that of all that it has left. Its monitor and cgroup
        go a moment later, while others use what it wrote; after a failure, they have gone."""
        monitor = await self._core.launcher.launch(request, fds())
        ended = False
        try:
            # The monitor gets ready, on another processor, while the plan is worked out.
            try:
                plan = container.plan()
            except BaseException:
                await monitor.withdraw()
                raise
            monitor.give(plan)
            if container.has_network:
                pid = await monitor.created()
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    # Else it died while it set itself up: the monitor knows why.
                    await self._core.network.attach(container.id, pid, EndpointSettings())
            await monitor.start()
            started(monitor)
            status = await monitor.wait()
            ended = True
            return status
        finally:
            ending = asyncio.create_task(self._end(container, monitor))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            if not ended:
                await settled(ending)

    async def _end(self, container: _Container, monitor: Monitor) -> None:
        """Whatever happened: nothing of the process is left."""
        with contextlib.suppress(CortenError, TimeoutError):
            await asyncio.wait_for(monitor.kill(9), _PATIENCE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(monitor.gone(), _PATIENCE)
        # Who was killed in the middle of a start, or of its end, has not removed it.
        await asyncio.to_thread(self._remove_cgroup, container.cgroup)
        monitor.close()
        if container.has_network:
            await self._core.network.detach(container.id)
        self._core.run_trash.discard(container.run_dir)

    def _remove_cgroup(self, name: str) -> None:
        """Kills what is in it; nothing happens when there is none."""
        with contextlib.suppress(CortenError, OSError):
            cgroup = Cgroup.open(name, layout=self._core.layout)
            cgroup.kill()
            cgroup.delete()

    def _check(self, request: ExecRequest, status: ExitStatus) -> None:
        if not status.code:
            return
        command = command_text(request.operation.args)
        why = f"exit code: {status.code}"
        if status.oom_killed:
            limit = request.operation.limits.memory
            why += f": out of memory{f' (it may use {limit >> 20} MiB)' if limit else ''}"
        raise ProcessFailed(
            f"process {command} did not complete successfully: {why}",
            exit_code=status.code,
            oom_killed=status.oom_killed,
        )


def _launch(
    container: _Container,
    *,
    stdio: Literal["monitor", "fds"],
    tty: bool = False,
    attachments: tuple[Attachment, ...] = (),
) -> LaunchRequest:
    return LaunchRequest(
        container_id=container.id,
        run_dir=container.run_dir,
        stdio=stdio,
        tty=tty,
        open_stdin=bool(attachments),
        stdin_once=bool(attachments),
        hold=container.has_network,
        attachments=attachments,
        files=container.files,
        bound=True,
    )


def _not_started(request: ExecRequest, error: CommandNotFound | CommandNotExecutable) -> ProcessFailed:
    """As a shell has it: a command that is not there ends with 127, one that cannot be run with 126."""
    code = 127 if isinstance(error, CommandNotFound) else 126
    command = command_text(request.operation.args)
    return ProcessFailed(
        f"process {command} did not complete successfully: exit code: {code}: {error.message}", exit_code=code
    )


def command_text(args: Sequence[str]) -> str:
    """A command as messages show it: in quotes, on one line."""
    text = " ".join(args).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n").replace("\t", "\\t") + '"'
