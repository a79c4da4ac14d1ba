"""One pull that any number of clients watch: all see its progress, and it ends with the last of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from corten.image.model import Progress, Report

T = TypeVar("T")

_INTERVAL = 0.1
"""Seconds between two reports of bytes of one layer: a client draws no faster."""


class SharedWork(Generic[T]):
    """`work` runs in a task of its own, from the construction on; `ended` is called when it is over or given
    up, so that nobody joins it any more."""

    def __init__(self, work: Callable[[Report], Awaitable[T]], ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._watchers: set[asyncio.Queue[Progress | None]] = set()
        self._latest: dict[str, Progress] = {}
        self._times: dict[str, float] = {}
        self._ended = ended
        self._task: asyncio.Task[T] = self._loop.create_task(self._run(work))
        self._over = False
        self.watched = 0

    async def _run(self, work: Callable[[Report], Awaitable[T]]) -> T:
        try:
            return await work(self._report)
        finally:
            # Behind the reports that threads have queued.
            self._loop.call_soon_threadsafe(self._finish)

    def result(self) -> T:
        """What the work returned, once `watch` has come to its end."""
        return self._task.result()

    async def watch(self) -> AsyncIterator[Progress]:
        """The progress so far (the latest of each layer), then as it comes; the work's error is raised at
        the end. Leaving earlier gives up the work when nobody else watches."""
        queue: asyncio.Queue[Progress | None] = asyncio.Queue()
        for progress in self._latest.values():
            queue.put_nowait(progress)
        if self._over:
            queue.put_nowait(None)
        self._watchers.add(queue)
        self.watched += 1
        try:
            while (step := await queue.get()) is not None:
                yield step
            await asyncio.shield(self._task)
        finally:
            self._watchers.discard(queue)
            if not self._watchers and not self._over:
                await self._give_up()

    async def _give_up(self) -> None:
        self._over = True
        self._ended()
        self._task.cancel()
        await asyncio.wait({self._task})

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._ended()
        for queue in self._watchers:
            queue.put_nowait(None)

    def _report(self, progress: Progress) -> None:
        self._loop.call_soon_threadsafe(self._publish, progress)

    def _publish(self, progress: Progress) -> None:
        key = progress.id or progress.status
        if 0 < progress.current < progress.total:
            before = self._latest.get(key)
            now = time.monotonic()
            same = before is not None and before.status == progress.status
            if same and now - self._times.get(key, 0.0) < _INTERVAL:
                return
            self._times[key] = now
        self._latest[key] = progress
        for queue in self._watchers:
            queue.put_nowait(progress)
