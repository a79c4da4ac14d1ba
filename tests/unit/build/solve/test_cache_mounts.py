"""Who has a cache mount when, and what it begins as."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from corten.build.solve.cache_mounts import Beginning, CacheMounts, WantedMount
from corten.build.solve.database import CacheDatabase
from corten.errors import Unavailable
from tests.unit.build.solve.world import pause


@pytest.fixture
def mounts(tmp_path: Path, loop_runner: asyncio.Runner) -> CacheMounts:
    async def make() -> CacheMounts:
        return CacheMounts(tmp_path / "mounts", CacheDatabase(tmp_path / "cache.db"))

    return loop_runner.run(make())


async def test_it_outlives_its_user(mounts: CacheMounts) -> None:
    wanted = WantedMount("pip", mode=0o700)
    async with mounts.hold([wanted]) as (path,):
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "x").write_text("1")
    async with mounts.hold([wanted, WantedMount("apt")]) as (again, other):
        assert (again / "x").read_text() == "1"
        assert list(other.iterdir()) == []
    assert mounts.ids() == ["apt", "pip"]
    (usage,) = [usage for usage in mounts.usage() if usage.id == "pip"]
    assert (usage.uses, usage.in_use) == (2, False)


async def test_other_owners_are_other_mounts(mounts: CacheMounts) -> None:
    async with mounts.hold([WantedMount("x"), WantedMount("x", uid=1000)]) as (one, other):
        assert one != other


async def test_shared(mounts: CacheMounts) -> None:
    async with mounts.hold([WantedMount("x")]) as (one,), mounts.hold([WantedMount("x")]) as (other,):
        assert one == other


async def test_private(mounts: CacheMounts) -> None:
    wanted = WantedMount("x", "private")
    async with mounts.hold([wanted]) as (one,):
        async with mounts.hold([wanted]) as (other,):
            assert one != other
        async with mounts.hold([wanted]) as (again,):
            assert again == other
    async with mounts.hold([wanted]) as (last,):
        assert last == one


@pytest.mark.parametrize(
    ("first", "second"), [("locked", "locked"), ("locked", "shared"), ("shared", "locked")]
)
async def test_locked(mounts: CacheMounts, first: str, second: str) -> None:
    order: list[str] = []

    async def user() -> None:
        async with mounts.hold([WantedMount("x", second)]):
            order.append("second")

    async with mounts.hold([WantedMount("x", first)]):
        task = asyncio.create_task(user())
        await pause()
        order.append("first")
    await asyncio.wait_for(task, 20)
    assert order == ["first", "second"]


async def test_who_waits_can_be_cancelled(mounts: CacheMounts) -> None:
    async def user() -> None:
        async with mounts.hold([WantedMount("x", "locked")]):
            raise AssertionError("it is locked")

    async with mounts.hold([WantedMount("x", "locked")]):
        task = asyncio.create_task(user())
        await pause()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    async with mounts.hold([WantedMount("x", "locked")]):
        pass


async def test_nobody_waits_in_a_circle(mounts: CacheMounts) -> None:
    a, b = WantedMount("a", "locked"), WantedMount("b", "locked")

    async def user(*wanted: WantedMount) -> None:
        for _ in range(20):
            async with mounts.hold(wanted):
                await pause(0)

    await asyncio.wait_for(asyncio.gather(user(a, b), user(b, a), user(a, b)), 20)


async def test_one_step_has_a_locked_mount_twice(mounts: CacheMounts) -> None:
    async with mounts.hold([WantedMount("x", "locked"), WantedMount("x", "locked")]) as (one, other):
        assert one == other


@pytest.mark.root
async def test_it_begins_as_a_directory(mounts: CacheMounts, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    (layer / "cache" / "deep").mkdir(parents=True)
    (layer / "cache" / "deep" / "file").write_text("begun")
    os.chown(layer / "cache" / "deep", 1000, 1000)
    wanted = WantedMount("x", beginning=Beginning("key", (str(layer),), "/cache"))
    async with mounts.hold([wanted]) as (path,):
        assert (path / "deep" / "file").read_text() == "begun"
        assert (path / "deep").stat().st_uid == 1000
        (path / "deep" / "file").write_text("changed")
    assert (layer / "cache" / "deep" / "file").read_text() == "begun"
    async with mounts.hold([wanted]) as (path,):
        assert (path / "deep" / "file").read_text() == "changed"
    async with mounts.hold([WantedMount("x", beginning=Beginning("other", (str(layer),), "/cache"))]) as (
        path,
    ):
        assert (path / "deep" / "file").read_text() == "begun"


class Filler:
    def __init__(self, *, fails: bool = False, has: bool = True) -> None:
        self.fails, self.has = fails, has
        self.asked: list[str] = []

    async def fill(self, id: str, directory: int) -> bool:
        self.asked.append(id)
        if self.has:
            os.close(os.open("filled", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        if self.fails:
            raise Unavailable("the registry does not answer")
        return self.has


async def test_a_new_one_may_be_filled(mounts: CacheMounts) -> None:
    filler = Filler()
    for _ in range(2):
        async with mounts.hold([WantedMount("x")], filler=filler) as (path,):
            assert [entry.name for entry in path.iterdir()] == ["filled"]
    assert filler.asked == ["x"]


async def test_that_it_cannot_be_filled_is_no_failure(mounts: CacheMounts) -> None:
    said: list[str] = []
    async with mounts.hold([WantedMount("x")], filler=Filler(fails=True), warn=said.append) as (path,):
        assert list(path.iterdir()) == []
    assert said == ["the cache mount x begins empty: the registry does not answer"]


async def test_reading(mounts: CacheMounts) -> None:
    async with mounts.read("x") as nothing:
        assert nothing is None
    async with mounts.hold([WantedMount("x")]) as (path,):
        (path / "file").write_text("1")
        reading = asyncio.create_task(_names(mounts))
        await pause()
        assert not reading.done()
    assert await reading == ["file"]


async def _names(mounts: CacheMounts) -> list[str]:
    async with mounts.read("x") as fd:
        assert fd is not None
        return os.listdir(fd)


async def test_removing(mounts: CacheMounts) -> None:
    async with mounts.hold([WantedMount("x")]) as (path,):
        assert mounts.remove(path.name) is None
    delete = mounts.remove(path.name)
    assert delete is not None
    assert not path.exists()
    delete()
    assert list(path.parent.iterdir()) == []
    async with mounts.hold([WantedMount("x")]) as (path,):
        assert list(path.iterdir()) == []


async def test_recovery(mounts: CacheMounts, tmp_path: Path) -> None:
    async with mounts.hold([WantedMount("x")]) as (path,), mounts.hold([WantedMount("y")]) as (lost,):
        pass
    (tmp_path / "mounts" / ".new-1" / "half").mkdir(parents=True)
    (tmp_path / "mounts" / "unknown").mkdir()
    lost.rmdir()
    mounts.recover()
    assert list((tmp_path / "mounts").iterdir()) == [path]
    assert mounts.ids() == ["x"]
