"""Healthchecks: run the check in the container at its interval, and keep what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from corten.api.container import Healthcheck, HealthLogEntry
from corten.api.exec import ExecCreate
from corten.engine.core import Core
from corten.engine.record import Container
from corten.engine.state import Status
from corten.engine.timestamp import now, rfc3339
from corten.errors import CortenError

if TYPE_CHECKING:
    from corten.engine.record import HealthRecord

_SECOND = 1_000_000_000
DEFAULT_INTERVAL = 30 * _SECOND
DEFAULT_TIMEOUT = 30 * _SECOND
DEFAULT_START_INTERVAL = 5 * _SECOND
DEFAULT_RETRIES = 3
_LOG_ENTRIES = 5
_OUTPUT_LIMIT = 4096


class CheckRunner(Protocol):
    """Runs a command in a container and gives its exit code and output: `execs.ExecService.run_check`."""

    async def __call__(
        self, container: Container, request: ExecCreate, timeout: float
    ) -> tuple[int, str]: ...


class Health:
    """One task for each running container that has a healthcheck."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.run: CheckRunner | None = None

    def is_checked(self, container: Container) -> bool:
        check = container.config.healthcheck
        return check is not None and bool(check.test) and check.test[0] in ("CMD", "CMD-SHELL")

    def begin(self, container: Container) -> None:
        """Starts checking a container that just started."""
        self.end(container)
        check = container.config.healthcheck
        if check is not None and self.is_checked(container):
            container.health_task = asyncio.get_running_loop().create_task(self._check(container, check))

    def end(self, container: Container) -> None:
        """Stops checking; an unhealthy or healthy container that stopped keeps its last word."""
        if container.health_task is not None:
            container.health_task.cancel()
            container.health_task = None

    async def _check(self, container: Container, check: Healthcheck) -> None:
        interval = (check.interval or DEFAULT_INTERVAL) / 1e9
        start_interval = (check.start_interval or DEFAULT_START_INTERVAL) / 1e9
        while True:
            health = container.state.health
            if health is None:
                return
            starting = (
                health.status == "starting" and check.start_period and self._in_start_period(container, check)
            )
            await asyncio.sleep(min(start_interval, interval) if starting else interval)
            if container.state.status is not Status.RUNNING:
                continue  # paused: nothing could run in it
            entry = await self._probe(container, check)
            if container.state.health is health:
                self._judge(container, check, health, entry)

    def _in_start_period(self, container: Container, check: Healthcheck) -> bool:
        return now() - container.state.started_at < check.start_period

    async def _probe(self, container: Container, check: Healthcheck) -> HealthLogEntry:
        kind, *words = check.test
        if kind == "CMD-SHELL":
            words = [*(container.config.shell or ["/bin/sh", "-c"]), words[0]]
        timeout = (check.timeout or DEFAULT_TIMEOUT) / 1e9
        start = now()
        assert self.run is not None
        try:
            code, output = await self.run(
                container, ExecCreate(cmd=words, attach_stdout=True, attach_stderr=True), timeout
            )
        except TimeoutError:
            code, output = -1, f"Health check exceeded timeout ({timeout:g}s)"
        except CortenError as error:
            code, output = -1, error.message
        if len(output) > _OUTPUT_LIMIT:
            output = output[:_OUTPUT_LIMIT] + "..."
        return HealthLogEntry(start=rfc3339(start), end=rfc3339(now()), exit_code=code, output=output)

    def _judge(
        self, container: Container, check: Healthcheck, health: HealthRecord, entry: HealthLogEntry
    ) -> None:
        before = health.status
        health.log = [*health.log, entry][-_LOG_ENTRIES:]
        if entry.exit_code == 0:
            health.failing_streak = 0
            health.status = "healthy"
        elif health.status != "starting" or not self._in_start_period(container, check):
            health.failing_streak += 1
            if health.failing_streak >= (check.retries or DEFAULT_RETRIES):
                health.status = "unhealthy"
        self._core.catalog.save_state(container)
        if health.status != before:
            self._core.publish(container, f"health_status: {health.status}")
