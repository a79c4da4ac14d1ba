"""One pull for many watchers."""

from __future__ import annotations

import asyncio

import pytest

from corten.engine.progress_line import bar, progress_line
from corten.engine.shared_pull import SharedWork
from corten.errors import NotFound
from corten.image.model import Progress, Report


class Work:
    """Reports what it is told to, until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.cancelled = False
        self.ended = 0
        self.error: Exception | None = None

    async def __call__(self, report: Report) -> str:
        report(Progress("Pulling from a", "1"))
        report(Progress("Downloading", "x", 1, 9))
        report(Progress("Downloading", "x", 2, 9))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error
        report(Progress("Pull complete", "x"))
        return "done"

    def end(self) -> None:
        self.ended += 1


async def collect(shared: SharedWork[str]) -> list[str]:
    return [progress.status async for progress in shared.watch()]


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_all_see_all_and_reports_of_bytes_are_few() -> None:
    work = Work()
    shared = SharedWork(work, work.end)
    first = asyncio.create_task(collect(shared))
    await asyncio.sleep(0.02)
    late = asyncio.create_task(collect(shared))
    await asyncio.sleep(0)
    work.go.set()
    expected = ["Pulling from a", "Downloading", "Pull complete"]
    assert await first == expected and await late == expected
    assert shared.result() == "done" and work.ended == 1


async def test_who_leaves_takes_only_its_own_watch() -> None:
    work = Work()
    shared = SharedWork(work, work.end)
    leaving, staying = asyncio.create_task(collect(shared)), asyncio.create_task(collect(shared))
    await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert not work.cancelled and work.ended == 0
    work.go.set()
    assert (await staying)[-1] == "Pull complete"


async def test_the_last_who_leaves_ends_it() -> None:
    work = Work()
    shared = SharedWork(work, work.end)
    watchers = [asyncio.create_task(collect(shared)) for _ in range(3)]
    await asyncio.sleep(0.02)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.wait(watchers)
    assert work.cancelled and work.ended == 1


async def test_an_error_is_everybodys() -> None:
    work = Work()
    work.error = NotFound("gone")
    shared = SharedWork(work, work.end)
    watchers = [asyncio.create_task(collect(shared)) for _ in range(2)]
    await asyncio.sleep(0.02)
    work.go.set()
    for watcher in watchers:
        with pytest.raises(NotFound, match="gone"):
            await watcher


async def test_who_comes_when_it_is_over_gets_its_end() -> None:
    work = Work()
    shared = SharedWork(work, work.end)
    work.go.set()
    await collect(shared)
    assert "Pull complete" in await collect(shared)


def test_lines_are_dockers() -> None:
    assert progress_line(Progress("Digest: x")) == {"status": "Digest: x"}
    assert progress_line(Progress("Pulling from a", "1")) == {"status": "Pulling from a", "id": "1"}
    assert progress_line(Progress("Waiting", "l")) == {"status": "Waiting", "id": "l", "progressDetail": {}}
    line = progress_line(Progress("Downloading", "l", 25, 100))
    assert line["progressDetail"] == {"current": 25, "total": 100}
    assert line["progress"] == "[" + "=" * 12 + ">" + " " * 38 + "]      25B/100B"


@pytest.mark.parametrize(
    ("current", "total", "expected"),
    [
        (20, 100, "[==========>                                        ]      20B/100B"),
        (50, 50, "[" + "=" * 50 + ">]      50B/50B"),
        (20, 0, "     20B"),
        (1_234_567, 2_000_000_000, "[>" + " " * 50 + "]  1.235MB/2GB"),
    ],
)
def test_bar_is_dockers(current: int, total: int, expected: str) -> None:
    """The expected texts are those of pkg/jsonmessage's own tests, where it has them."""
    assert bar(current, total) == expected
