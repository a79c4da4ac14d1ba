"""Work that many want and one does: of the tasks of a process one, by a dictionary; of all processes and
replicas one, by a lease in the database."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from corten.errors import CortenError
from corten.registry.metadata.store import Metadata

LEASE_SECONDS = 15.0
"""After this time without a sign of life of who works, another begins."""
POLL_SECONDS = 0.05


class Turns:
    """One process's."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def share(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        is_done: Callable[[], Awaitable[bool]],
        *,
        alone: bool = False,
    ) -> None:
        """Waits until `work` was done once: by this call, by another, or by another replica (`is_done`). Who
        goes away leaves it to the others. Raises what the work raised. `alone` waits for nobody: who asks may
        be whom the others wait for."""
        if alone:
            await work()
            return
        task = self._tasks.get(name)
        if task is None:
            task = asyncio.create_task(self._take_turn(name, work, is_done))
            self._tasks[name] = task
            task.add_done_callback(lambda ended: self._ended(name, ended))
        await asyncio.shield(task)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        if not task.cancelled():
            task.exception()  # there may be nobody left who wants to know

    async def _take_turn(
        self, name: str, work: Callable[[], Awaitable[None]], is_done: Callable[[], Awaitable[bool]]
    ) -> None:
        holder = secrets.token_hex(8)
        while not await self._metadata.take_lease(name, holder, LEASE_SECONDS):
            while await self.is_held(name):
                await asyncio.sleep(POLL_SECONDS)
            if await is_done():
                return
        async with self.keep(name, holder):
            if not await is_done():
                await work()

    async def is_held(self, name: str) -> bool:
        """Whether somebody works on it."""
        found = await self._metadata.lease(name)
        return found is not None and found[1] >= time.time() * 1000

    @contextlib.asynccontextmanager
    async def keep(self, name: str, holder: str) -> AsyncIterator[None]:
        """Holds on to a lease that was taken; gives it back in the end."""
        alive = asyncio.create_task(self._stay(name, holder))
        try:
            yield
        finally:
            alive.cancel()
            with contextlib.suppress(CortenError):
                await self._metadata.drop_lease(name, holder)

    async def _stay(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(CortenError):
                await self._metadata.take_lease(name, holder, LEASE_SECONDS)

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
