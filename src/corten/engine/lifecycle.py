"""The life of a container's process: start, stop, kill, restart, pause, and what follows its end.

A container's lock is held across one transition, never while its process runs. The supervisor task of each
running container waits for its end, takes the exit status over from the monitor, and goes on by the policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal as signals
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from corten.engine import restart_policy, waiting
from corten.engine.cgroups import container_cgroup
from corten.engine.core import Core
from corten.engine.launching import Launching, is_volatile, needs_endpoint
from corten.engine.record import Container, HealthRecord
from corten.engine.results import Exit
from corten.engine.run_directory import clear_run_directory
from corten.engine.signals import parse_signal
from corten.engine.state import Status
from corten.engine.timestamp import now
from corten.errors import (
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    CortenError,
    NoSpace,
    NotFound,
    NotModified,
    StartError,
    Unavailable,
)
from corten.launch.client import ExitStatus, Monitor, read_exit

if TYPE_CHECKING:
    from corten.engine.health import Health

DEFAULT_STOP_TIMEOUT = 10
_KILL_PATIENCE = 10.0
_CGROUP_PATIENCE = 1.0
_TURNS_TO_ANSWER = 3  # of the event loop, from a waiter's future to the bytes of its answer
#: What a cgroup that its last process has left, and that is removed, answers.
_GONE = (errno.ENOENT, errno.ENODEV)


class Lifecycle:
    """Moves containers between their states."""

    def __init__(self, core: Core, launching: Launching, health: Health) -> None:
        self._core = core
        self._launching = launching
        self._health = health
        # Set by the engine: what --rm does at the end (removal needs the lifecycle, and the other way round).
        self.remove_ended: Callable[[Container], Awaitable[None]] | None = None

    async def start(self, container: Container) -> None:
        """See `ContainerService.start`."""
        async with container.lock:
            status = container.state.status
            if status is Status.RUNNING:
                raise NotModified(f"container {container.short_id} is already running")
            if status is Status.PAUSED:
                raise Conflict("cannot start a paused container, try unpause instead")
            gone = container.removal or container.id not in self._core.catalog
            if gone or status in (Status.REMOVING, Status.DEAD):
                raise Conflict("container is marked for removal and cannot be started")
            self._cancel_restart(container)
            container.state.restart_count = 0
            container.backoff = 0.0
            await self._start(container)

    async def _start(self, container: Container) -> None:
        """With the lock held. A failure leaves the reason in the state, and is raised."""
        core, state = self._core, container.state
        if is_volatile(container.host_config):
            self._renew_writable_layer(container)
        clear_run_directory(core.paths.container_run(container.id))
        if state.ran:
            await self._await_old_cgroup(container)
        try:
            monitor = await self._launching.launch(container)
        except BaseException as error:
            await self._failed(container, error)
            raise
        state.pid = monitor.pid
        state.started_at = monitor.started_at_ns or now()
        state.exit_code = 0
        state.error = ""
        state.oom_killed = False
        state.manually_stopped = False
        state.ran = True
        self.adopt(container, monitor)
        core.catalog.change(container, Status.RUNNING)
        core.publish(container, "start")
        # Who waits is answered first: until this is written down, the monitor says it.
        asyncio.get_running_loop().call_soon(self._save, container)

    def _save(self, container: Container) -> None:
        if container.id in self._core.catalog:
            self._core.catalog.save_state(container)

    def adopt(self, container: Container, monitor: Monitor) -> None:
        """Takes a monitor whose process runs: watches it, and its health."""
        container.monitor = monitor
        container.ended = asyncio.get_running_loop().create_future()
        for handle, client in zip(monitor.attachments, container.pending, strict=False):
            self.follow_attachment(container, handle.wait(), client.closed)
        container.pending.clear()
        container.supervisor = asyncio.get_running_loop().create_task(self._supervise(container, monitor))
        container.state.health = HealthRecord() if self._health.is_checked(container) else None
        self._health.begin(container)

    def follow_attachment(
        self, container: Container, ending: Awaitable[str], closed: asyncio.Future[None]
    ) -> None:
        """Ends `closed` when the monitor says that the client is attached no more."""

        async def follow() -> None:
            try:
                if await ending == "keys":
                    self._core.publish(container, "detach")
            except CortenError:
                pass
            finally:
                if not closed.done():
                    closed.set_result(None)

        task = asyncio.get_running_loop().create_task(follow())
        closed.add_done_callback(lambda _: task.cancel() if closed.cancelled() else None)

    async def _failed(self, container: Container, error: BaseException) -> None:
        state = container.state
        state.error = error.message if isinstance(error, CortenError) else str(error)
        state.exit_code = 128
        if isinstance(error, CommandNotFound):
            state.exit_code = 127
        elif isinstance(error, CommandNotExecutable):
            state.exit_code = 126
        state.pid = 0
        # What made the process may have died of its end: a process that is killed while it sets itself up
        # takes the starter along, whose memory it shares, and nobody else has removed the cgroup then.
        await self._kill_cgroup(container)
        if state.status is Status.RESTARTING:
            state.status = Status.EXITED
        self._core.catalog.save_state(container)
        drop_clients(container)
        self._core.run_trash.discard(self._core.paths.container_run(container.id))
        waiting.wake(container, "next-exit", "not-running", error=state.error)
        if container.host_config.auto_remove and self.remove_ended is not None:
            asyncio.get_running_loop().create_task(_quiet(self.remove_ended(container)))

    def _renew_writable_layer(self, container: Container) -> None:
        """With --volatile, every start begins with the image and nothing else.

        A work directory is renewed after every volatile mount: overlay refuses it a second time, for it
        cannot know that the host has not crashed in between. The engine would have removed the container.
        """
        directory = self._core.paths.container(container.id)
        for name, mode in (("upper", 0o755), ("work", 0o711)):
            kept = name == "upper" and not container.host_config.volatile
            if not kept and os.listdir(directory / name):
                self._core.trash.discard(directory / name)
                (directory / name).mkdir(mode=mode)

    async def _supervise(self, container: Container, monitor: Monitor) -> None:
        try:
            status = await monitor.wait()
        except Unavailable:
            status = await self._after_lost_monitor(container)
        async with container.lock:
            if container.monitor is monitor:
                await self.ended(container, status)

    async def _after_lost_monitor(self, container: Container) -> ExitStatus:
        """The monitor went without a word: what it wrote counts; if there is nothing, its container ends."""
        found = read_exit(self._core.paths.container_run(container.id))
        if found is not None:
            return found
        await self._kill_cgroup(container)
        return ExitStatus(
            code=137, signal=9, finished_at_ns=now(), error="the container's monitor was killed"
        )

    async def _await_old_cgroup(self, container: Container) -> None:
        """A monitor tells of the end, then removes the cgroup; the next start uses its name again."""
        pause = 0.0005
        while container_cgroup(self._core, container) is not None:
            if pause > _CGROUP_PATIENCE:
                await self._kill_cgroup(container)
                return
            await asyncio.sleep(pause)
            pause *= 2

    async def _kill_cgroup(self, container: Container) -> None:
        cgroup = container_cgroup(self._core, container)
        if cgroup is not None:
            await asyncio.to_thread(cgroup.kill)
            await asyncio.to_thread(cgroup.delete)

    async def ended(self, container: Container, status: ExitStatus, *, schedule: bool = True) -> None:
        """With the lock held: the process is gone. Saves how, tells everybody, restarts or removes.

        Without `schedule`, a container that is to start again is left restarting for the caller.
        """
        core, state = self._core, container.state
        state.exit_code = status.code
        state.oom_killed = status.oom_killed
        state.finished_at = status.finished_at_ns or now()
        state.error = status.error
        state.pid = 0
        again = not core.closing and restart_policy.restarts(
            container.host_config,
            exit_code=status.code,
            restart_count=state.restart_count,
            manually_stopped=state.manually_stopped,
        )
        self._health.end(container)
        core.catalog.change(container, Status.RESTARTING if again else Status.EXITED)
        monitor, container.monitor = container.monitor, None
        if status.oom_killed:
            core.publish(container, "oom")
        core.publish(container, "die", exitCode=str(status.code), execDuration=str(self._ran_for(container)))
        if needs_endpoint(container):
            with contextlib.suppress(NoSpace):  # removed with the container, or by the next engine
                await core.network.detach(container.id)
        if container.ended is not None and not container.ended.done():
            container.ended.set_result(Exit(status.code, status.error))
        waiting.wake(container, "next-exit", error=status.error)
        if not again:
            waiting.wake(container, "not-running", error=status.error)
        # Who waited is answered first: until this is written down, exit.json says it.
        for _turn in range(_TURNS_TO_ANSWER):
            await asyncio.sleep(0)
        if monitor is not None:
            monitor.close()
        if core.catalog.save_state(container):  # else exit.json stays for the next engine
            core.run_trash.discard(core.paths.container_run(container.id))
        if again:
            if schedule:
                self.schedule_restart(container)
            return
        if container.host_config.auto_remove and not (
            core.closing or container.stays or self.remove_ended is None
        ):
            asyncio.get_running_loop().create_task(_quiet(self.remove_ended(container)))

    def _ran_for(self, container: Container) -> int:
        return max(0, container.state.finished_at - container.state.started_at) // 1_000_000_000

    def schedule_restart(self, container: Container, *, pause: float | None = None) -> None:
        """Starts it again after the pause that the policy asks for."""
        if pause is None:
            pause = restart_policy.next_pause(
                container.backoff, (container.state.finished_at - container.state.started_at) / 1e9
            )
        container.backoff = pause
        container.restart_task = asyncio.get_running_loop().create_task(self._restart_later(container, pause))

    async def _restart_later(self, container: Container, pause: float) -> None:
        await asyncio.sleep(pause)
        async with container.lock:
            if container.restart_task is not asyncio.current_task():
                return
            container.restart_task = None
            if container.state.status is not Status.RESTARTING or self._core.closing:
                return
            container.state.restart_count += 1
            try:
                await self._start(container)
            except CortenError:
                # Docker gives up on a container that cannot even be started; its state says why.
                return

    def _cancel_restart(self, container: Container) -> None:
        if container.restart_task is not None:
            container.restart_task.cancel()
            container.restart_task = None

    async def stop(self, container: Container, signal: str | None, timeout: int | None) -> None:
        """See `ContainerService.stop`."""
        number = parse_signal(signal or container.config.stop_signal or "SIGTERM")
        async with container.lock:
            if await self.stop_waiting(container):
                return
            monitor, ended = container.monitor, container.ended
            if monitor is None or ended is None:
                raise NotModified(f"container {container.short_id} is not running")
            container.state.manually_stopped = True
            self._core.catalog.save_state(container)
            await self._signal(container, monitor, number)
        if timeout is None:
            timeout = container.config.stop_timeout
        if timeout is None:
            timeout = DEFAULT_STOP_TIMEOUT
        await asyncio.wait([ended], timeout=None if timeout < 0 else timeout)
        if not ended.done():
            await self.kill_and_wait(container, monitor, ended)
        self._core.publish(container, "stop")

    async def stop_waiting(self, container: Container) -> bool:
        """A container between two runs stops by not being started again."""
        if container.state.status is not Status.RESTARTING:
            return False
        self._cancel_restart(container)
        container.state.manually_stopped = True
        self._core.catalog.move(container, Status.EXITED)
        waiting.wake(container, "not-running")
        self._core.publish(container, "stop")
        return True

    async def kill_and_wait(
        self, container: Container, monitor: Monitor, ended: asyncio.Future[Exit]
    ) -> None:
        """SIGKILL, and if that does not end it soon, SIGKILL to everything in its cgroup."""
        async with container.lock:
            if not ended.done() and container.monitor is monitor:
                await self._signal(container, monitor, signals.SIGKILL)
        await asyncio.wait([ended], timeout=_KILL_PATIENCE)
        if not ended.done():
            cgroup = container_cgroup(self._core, container)
            if cgroup is not None:
                await asyncio.to_thread(cgroup.kill)
            await asyncio.wait([ended], timeout=_KILL_PATIENCE)
        if not ended.done():
            raise StartError(
                f"cannot stop container {container.short_id}: its process stays (does it wait for a disk?)"
            )

    async def kill(self, container: Container, signal: str) -> None:
        """See `ContainerService.kill`."""
        number = parse_signal(signal or "SIGKILL")
        async with container.lock:
            if number == signals.SIGKILL and await self.stop_waiting(container):
                return
            monitor, ended = container.monitor, container.ended
            if monitor is None or ended is None:
                raise Conflict(
                    f"cannot kill container: {container.name}: container {container.id} is not running"
                )
            if number in (signals.SIGKILL, parse_signal(container.config.stop_signal or "SIGTERM")):
                container.state.manually_stopped = True
                self._core.catalog.save_state(container)
            await self._signal(container, monitor, number)
        if number == signals.SIGKILL:
            await asyncio.wait([ended], timeout=_KILL_PATIENCE)

    async def _signal(self, container: Container, monitor: Monitor, number: int) -> None:
        try:
            await monitor.kill(number)
        except (Conflict, NotFound, Unavailable):
            return  # it is ending by itself
        self._core.publish(container, "kill", signal=str(number))
        if container.state.status is Status.PAUSED:
            # A frozen process takes no signal, on cgroup v1 not even SIGKILL.
            self._thaw(container)

    async def restart(self, container: Container, signal: str | None, timeout: int | None) -> None:
        """See `ContainerService.restart`."""
        container.stays = True
        try:
            try:
                await self.stop(container, signal, timeout)
            except NotModified:
                pass
            try:
                await self.start(container)
            except NotModified:
                pass
        finally:
            container.stays = False
        self._core.publish(container, "restart")

    async def pause(self, container: Container) -> None:
        async with container.lock:
            if container.state.status is Status.PAUSED:
                raise Conflict(f"Container {container.id} is already paused")
            if container.state.status is not Status.RUNNING:
                raise Conflict(f"Container {container.id} is not running")
            cgroup = container_cgroup(self._core, container)
            if cgroup is None:
                raise Conflict(f"container {container.short_id} has no cgroup that could be frozen")
            try:
                await asyncio.to_thread(cgroup.freeze)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                raise Conflict(f"Container {container.id} is not running") from error
            if container.monitor is None:
                return
            self._core.catalog.move(container, Status.PAUSED)
            self._core.publish(container, "pause")

    async def unpause(self, container: Container) -> None:
        async with container.lock:
            if container.state.status is not Status.PAUSED:
                raise Conflict(f"Container {container.id} is not paused")
            self._thaw(container)

    def _thaw(self, container: Container) -> None:
        cgroup = container_cgroup(self._core, container)
        if cgroup is not None:
            try:
                cgroup.thaw()
            except OSError as error:
                if error.errno not in _GONE:
                    raise
        self._core.catalog.move(container, Status.RUNNING)
        self._core.publish(container, "unpause")


def drop_clients(container: Container) -> None:
    """Hangs up on everybody who waited for a start that does not come."""
    for client in container.pending:
        client.drop()
    container.pending.clear()
    if container.stdio is not None:
        container.stdio.close()
        container.stdio = None


async def _quiet(work: Awaitable[None]) -> None:
    """Runs what nobody waits for; what it has to say is in the container's state."""
    try:
        await work
    except CortenError:
        return
