"""Bytes that a thread makes, for somebody on the event loop to read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

from corten.errors import CortenError

Write = Callable[[bytes | memoryview], object]

_AHEAD = 4
"""Pieces (of about 1 MiB) that may wait for the reader."""


async def stream_of(produce: Callable[[Write], None]) -> AsyncIterator[bytes]:
    """What `produce` writes, in a thread. An error of its own is raised where the bytes end; when the reader
    leaves earlier, the next write raises."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    slots = threading.Semaphore(_AHEAD)
    gone = threading.Event()

    def write(data: bytes | memoryview) -> None:
        slots.acquire()
        if gone.is_set():
            raise CortenError("nobody reads what is exported any more")
        loop.call_soon_threadsafe(queue.put_nowait, bytes(data))

    def work() -> None:
        try:
            produce(write)
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        while (piece := await queue.get()) is not None:
            slots.release()
            yield piece
        await working
    finally:
        gone.set()
        slots.release()
        await asyncio.wait({working})
        working.exception()
