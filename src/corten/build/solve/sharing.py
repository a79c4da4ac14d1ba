"""Work that several builds want is done once. It goes on for as long as anybody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from corten.build.solve.ending import settled
from corten.build.solve.log_limit import LimitedLog
from corten.build.solve.protocols import Log

T = TypeVar("T")


class _Run(Generic[T]):
    """One piece of work, and who waits for it."""

    def __init__(self, work: Callable[[Log], Awaitable[T]], release: Callable[[T], None]) -> None:
        self.log = LimitedLog()
        self.release = release
        self.waiters = 0
        self.task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Callable[[Log], Awaitable[T]]) -> T:
        try:
            return await work(self.log.write)
        finally:
            self.log.close()


class SharedWork(Generic[T]):
    """By key: what is being done now. Whoever comes later is told what was logged before."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._runs

    async def join(
        self,
        key: str,
        work: Callable[[Log], Awaitable[T]],
        *,
        log: Log,
        take: Callable[[T], None],
        release: Callable[[T], None],
    ) -> T:
        """The outcome of `work`, which is begun unless it is going on. `take` is called with it by each who
        waited, `release` when the last one has. When the last one who waits is cancelled, so is the work, and
        its end is waited for."""
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(work, release)
            run.task.add_done_callback(lambda _task, run=run: self._forget(key, run))  # type: ignore[misc]
        run.waiters += 1
        run.log.listen(log)
        try:
            result = await asyncio.shield(run.task)
            take(result)
            return result
        finally:
            run.log.leave(log)
            run.waiters -= 1
            if not run.waiters:
                await self._end(key, run)

    async def _end(self, key: str, run: _Run[T]) -> None:
        self._forget(key, run)
        if not run.task.done():
            run.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # the caller is at its end anyhow
            await settled(run.task)
        if not run.task.cancelled() and run.task.exception() is None:
            run.release(run.task.result())

    def _forget(self, key: str, run: _Run[T]) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]
