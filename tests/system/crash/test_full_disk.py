"""A disk with no byte left: one sentence each, nothing half-made, and a way out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from corten.api.volume import VolumeCreate
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.engine.results import CommitOptions
from corten.errors import NoSpace
from tests.system.conftest import load_image, read_file
from tests.system.crash.conftest import running
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root

_FILL = "dd if=/dev/zero of=/big bs=64k 2>/dev/null; dd if=/dev/zero of=/small bs=1 count=70000 2>/dev/null"


async def _filled(boat: Boat) -> str:
    """A container whose writes have taken the last byte, and that has ended."""
    async with asyncio.timeout(30):
        return (await boat.sh(f"{_FILL}; exit 3", name="filler")).id


async def test_a_container_that_fills_the_disk_ends_and_is_waited_for(small_disk: Paths) -> None:
    """The end of a container cannot be written down; whoever waits for it must hear of it all the same."""
    async with running(small_disk) as boat:
        identity = await _filled(boat)
        assert (await boat.containers.inspect(identity)).state.exit_code == 3
        await boat.containers.start(identity)
        async with asyncio.timeout(20):
            assert (await boat.containers.wait(identity, "not-running").result()).status_code == 3


async def test_what_needs_room_says_so(small_disk: Paths, busybox_archive: Path) -> None:
    async with running(small_disk) as boat:
        identity = await _filled(boat)
        for _ in range(2):
            with pytest.raises(NoSpace, match="the disk is full"):
                await boat.create("true")
            with pytest.raises(NoSpace, match="the disk is full"):
                await boat.engine.volumes.create(VolumeCreate(name="data"))
            with pytest.raises(NoSpace, match="the disk is full"):
                await boat.containers.commit(CommitOptions(container=identity, repository="x"))
            with pytest.raises(NoSpace, match="the disk is full"):
                await _import(boat.engine, busybox_archive)
        assert sorted(os.listdir(small_disk.containers)) == [identity]
        assert os.listdir(small_disk.volumes) == []
        assert os.listdir(small_disk.content / "ingest") == []
        assert [image.repo_tags for image in await boat.engine.images.list()] == [["busybox:latest"]]


async def test_removal_makes_room(small_disk: Paths, busybox_archive: Path) -> None:
    async with running(small_disk) as boat:
        identity = await _filled(boat)
        await boat.containers.remove(identity)
        assert (await boat.sh("echo fine")).out == "fine\n"
        await load_image(boat.engine, busybox_archive)


async def test_one_that_runs_can_be_stopped_and_removed(small_disk: Paths) -> None:
    async with running(small_disk) as boat:
        identity = await boat.start("sh", "-c", f"{_FILL}; sleep 1000")
        while os.statvfs(small_disk.root).f_bfree:
            await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            await boat.containers.stop(identity, timeout=0)
            assert await boat.status(identity) == "exited"
            await boat.containers.remove(identity)


async def test_the_next_engine_knows_how_it_ended(small_disk: Paths) -> None:
    async with running(small_disk, empty=False) as boat:
        identity = await _filled(boat)
    (small_disk.container(identity) / "upper/big").unlink()
    async with running(small_disk) as boat:
        state = (await boat.containers.inspect(identity)).state
        assert (state.status, state.exit_code) == ("exited", 3)


async def _import(engine: Engine, archive: Path) -> None:
    async with contextlib.aclosing(read_file(archive)) as stream:
        async for _ in engine.images.import_(stream, repository="imported", tag="1"):
            pass
