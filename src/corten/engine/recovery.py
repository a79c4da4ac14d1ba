"""What an engine does first: find what runs, take over what ended, finish or undo what was half-done."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from corten.engine.cgroups import container_cgroup
from corten.engine.core import Core
from corten.engine.lifecycle import Lifecycle
from corten.engine.record import Container
from corten.engine.restart_policy import restarts_with_engine
from corten.engine.run_directory import clear_run_directory
from corten.engine.state import Status
from corten.engine.timestamp import now
from corten.errors import CortenError, IntegrityError, Unavailable
from corten.launch.client import ExitStatus, Monitor, read_exit, read_state

_UNREACHABLE = (Unavailable, FileNotFoundError, ConnectionError)


class Recovery:
    """Brings records and reality together again."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle

    async def run(self) -> None:
        """Before the first request is answered. Containers that run are not touched."""
        core = self._core
        core.volumes.recover()
        await asyncio.to_thread(core.images.recover)
        await core.network.ensure_default()
        for container in core.catalog:
            if not core.paths.container(container.id).is_dir():
                # A removal that was cut short after the directory went.
                await self._finish_removal(container)
        monitors = await asyncio.gather(*(self._reach(container) for container in core.catalog))
        found = dict(monitors)
        await core.network.recover(
            {identity: monitor.pid for identity, monitor in found.items() if monitor is not None}
        )
        for container in core.catalog:
            monitor = found.get(container.id)
            if monitor is not None:
                await self._adopt(container, monitor)
            else:
                await self._settle(container)
        await self._sweep()

    def begin_restarts(self) -> None:
        """Starts what the policies want running; in the background."""
        for container in self._core.catalog:
            state = container.state
            if state.status is Status.RESTARTING:
                self._lifecycle.schedule_restart(container, pause=0.0)
            elif state.status is Status.EXITED and restarts_with_engine(
                container.host_config, manually_stopped=state.manually_stopped
            ):
                self._core.catalog.move(container, Status.RESTARTING)
                self._lifecycle.schedule_restart(container, pause=0.0)

    async def _reach(self, container: Container) -> tuple[str, Monitor | None]:
        run_dir = self._core.paths.container_run(container.id)
        if not run_dir.exists():
            return container.id, None
        try:
            monitor = await Monitor.connect(run_dir)
        except _UNREACHABLE:
            return container.id, None
        if monitor.started_at_ns:
            return container.id, monitor
        # It holds before its exec: the engine died in a start that nobody was told to have worked.
        monitor.close()
        await self._end(run_dir)
        return container.id, None

    async def _adopt(self, container: Container, monitor: Monitor) -> None:
        state = container.state
        if not state.status.has_process:
            # The start was done, but not written down any more.
            state.started_at = monitor.started_at_ns
            state.exit_code, state.error, state.oom_killed, state.ran = 0, "", False, True
            state.status = Status.RUNNING
        state.pid = monitor.pid
        cgroup = container_cgroup(self._core, container)
        if cgroup is not None:
            state.status = Status.PAUSED if cgroup.frozen else Status.RUNNING
        health = state.health
        async with container.lock:
            self._lifecycle.adopt(container, monitor)
        if health is not None and state.health is not None:
            state.health = health
        self._core.catalog.save_state(container)

    async def _settle(self, container: Container) -> None:
        """No monitor answers. It ended meanwhile, or it never ran."""
        core = self._core
        run_dir = core.paths.container_run(container.id)
        try:
            status = read_exit(run_dir)
        except IntegrityError:
            status = None
        was_running = container.state.status.has_process
        if status is None and not was_running:
            if run_dir.exists():
                # A start that was cut short: its starter may have come as far as the cgroup.
                await self._kill_rest(container)
                clear_run_directory(run_dir)
            if container.state.status is Status.REMOVING:
                await self._finish_removal(container)
            return
        if status is None:
            # Its monitor is gone without a word: the machine went down, or somebody killed it.
            await self._kill_rest(container)
            status = ExitStatus(code=255, finished_at_ns=now(), error="")
        elif not was_running:
            # It started and ended while no engine could write that down.
            container.state.status, container.state.ran = Status.RUNNING, True
            container.state.started_at = _started_at(run_dir) or status.finished_at_ns
        async with container.lock:
            await self._lifecycle.ended(container, status, schedule=False)

    async def _kill_rest(self, container: Container) -> None:
        cgroup = container_cgroup(self._core, container)
        if cgroup is not None:
            await asyncio.to_thread(cgroup.kill)
            await asyncio.to_thread(cgroup.delete)

    async def _finish_removal(self, container: Container) -> None:
        core = self._core
        core.trash.discard(core.paths.container(container.id))
        clear_run_directory(core.paths.container_run(container.id))
        core.catalog.delete(container)

    async def _sweep(self) -> None:
        """Directories of containers that have no record: a create or a removal was cut short.

        Or the database was moved away: then some may still run, and end. What runs here for another data
        directory is left alone.
        """
        core = self._core
        for name in os.listdir(core.paths.containers):
            if name not in core.catalog:
                await self._end(core.paths.container_run(name))
                core.trash.discard(core.paths.containers / name)
        for name in os.listdir(core.paths.container_runs):
            if name not in core.catalog:
                try:
                    (await Monitor.connect(core.paths.container_runs / name)).close()
                except _UNREACHABLE:
                    clear_run_directory(core.paths.container_runs / name)
        core.trash.schedule()
        core.run_trash.schedule()

    async def _end(self, run_dir: Path) -> None:
        try:
            monitor = await Monitor.connect(run_dir)
        except _UNREACHABLE:
            return
        with contextlib.suppress(CortenError):
            await monitor.kill(9)
            await monitor.wait()
        monitor.close()
        clear_run_directory(run_dir)


def _started_at(run_dir: Path) -> int:
    """When what ran there began, in nanoseconds; 0 where nothing tells."""
    try:
        state = read_state(run_dir)
    except IntegrityError:
        return 0
    return 0 if state is None else state.started_at_ns
