"""Work that several want."""

from __future__ import annotations

import asyncio

import pytest

from corten.build.solve.protocols import Log
from corten.build.solve.sharing import SharedWork
from tests.unit.build.solve.world import pause


class Worker:
    def __init__(self) -> None:
        self.shared: SharedWork[int] = SharedWork()
        self.begun = 0
        self.ended = 0
        self.taken: list[int] = []
        self.released: list[int] = []
        self.go = asyncio.Event()

    async def work(self, log: Log) -> int:
        self.begun += 1
        try:
            log(1, b"begun")
            await self.go.wait()
        finally:
            self.ended += 1
        return self.begun

    async def join(self, said: list[bytes] | None = None) -> int:
        return await self.shared.join(
            "key",
            self.work,
            log=lambda stream, data: None if said is None else said.append(data),
            take=self.taken.append,
            release=self.released.append,
        )


async def test_once_for_all() -> None:
    worker = Worker()
    said: list[bytes] = []
    tasks = [asyncio.create_task(worker.join(said)) for _ in range(3)]
    await pause()
    assert "key" in worker.shared
    worker.go.set()
    assert [await task for task in tasks] == [1, 1, 1]
    assert worker.taken == [1, 1, 1]
    assert worker.released == [1]
    assert said == [b"begun"] * 3
    assert "key" not in worker.shared
    assert await worker.join() == 2


async def test_a_failure_is_everybodys() -> None:
    worker = Worker()

    async def fail(log: Log) -> int:
        await pause()
        raise ValueError("it broke")

    worker.work = fail  # type: ignore[method-assign]
    tasks = [asyncio.create_task(worker.join()) for _ in range(2)]
    for task in tasks:
        with pytest.raises(ValueError, match="it broke"):
            await task
    assert worker.released == []


async def test_one_who_leaves_ends_nothing() -> None:
    worker = Worker()
    first, second = (asyncio.create_task(worker.join()) for _ in range(2))
    await pause()
    first.cancel()
    await asyncio.wait({first})
    assert worker.ended == 0
    worker.go.set()
    assert await second == 1
    assert worker.released == [1]


async def test_the_last_one_who_leaves_ends_it() -> None:
    worker = Worker()
    tasks = [asyncio.create_task(worker.join()) for _ in range(2)]
    await pause()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert worker.ended == 1
    assert all(task.cancelled() for task in tasks)
    assert "key" not in worker.shared


async def test_who_comes_while_it_is_being_ended_begins_anew() -> None:
    worker = Worker()
    ending = asyncio.Event()

    async def slow_to_end(log: Log) -> int:
        worker.begun += 1
        try:
            await worker.go.wait()
        except asyncio.CancelledError:
            await ending.wait()
            raise
        return worker.begun

    worker.work = slow_to_end  # type: ignore[method-assign]
    first = asyncio.create_task(worker.join())
    await pause()
    first.cancel()
    await pause()
    second = asyncio.create_task(worker.join())
    await pause()
    assert worker.begun == 2
    ending.set()
    worker.go.set()
    assert await second == 2
    await asyncio.wait({first})
    assert first.cancelled()
