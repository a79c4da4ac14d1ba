"""Work side by side, and slow work in threads: both end before whoever waits for them goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], give_up: Callable[[], object] = lambda: None) -> T:
    """What `work` returns. When it is cancelled, `give_up` is called and the end of the thread awaited: what
    it works on must not go away under it."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        give_up()
        await asyncio.wait({running})
        running.exception()
        raise


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each returns, in order. The first failure cancels the others and is raised when they have
    ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        return [task.result() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
