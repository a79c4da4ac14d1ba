"""What somebody, or a disk, has damaged: one sentence that names it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corten.engine.paths import Paths
from corten.errors import CortenError
from corten.runtime.cgroup.compile import usual_directories
from tests.system.conftest import leftovers, load_image
from tests.system.crash.conftest import running

pytestmark = pytest.mark.root


def _serve(paths: Paths) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CORTEN_ROOT": str(paths.root), "CORTEN_RUN": str(paths.run)}
    return subprocess.run(
        [sys.executable, "-m", "corten.daemon"], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("damage", ["rubbish", "torn page", "unreadable row"])
async def test_a_broken_database(busybox_paths: Paths, damage: str) -> None:
    database = busybox_paths.database
    if damage == "rubbish":
        database.write_bytes(b"this is no database" * 1000)
    elif damage == "torn page":
        database.write_bytes(database.read_bytes()[:4096] + os.urandom(4096) * 8)
    else:
        async with running(busybox_paths, empty=False) as boat:
            await boat.create("true")
            boat.engine._core.connection.execute("UPDATE containers SET config = ?", (b'{"path": [',))
    done = await asyncio.to_thread(_serve, busybox_paths)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert ("record of container" if damage == "unreadable row" else "engine.db") in done.stderr


async def test_a_database_that_was_moved_away(busybox_paths: Paths) -> None:
    """A new beginning: what still runs of the old one is ended, for its files go."""
    async with running(busybox_paths, empty=False) as boat:
        identity = await boat.start("sleep", "1000")
    for file in busybox_paths.root.glob("engine.db*"):
        file.unlink()
    async with running(busybox_paths) as boat:
        assert await boat.containers.list(all=True) == []
        assert os.listdir(busybox_paths.container_runs) == []
        assert os.listdir(busybox_paths.containers) == []
    assert not [line for line in leftovers(busybox_paths) if identity in line]


async def test_another_data_directory_lets_containers_run(busybox_paths: Paths, busybox_root: Path) -> None:
    """Started by mistake with the same run directory: nothing of the right one is lost."""
    async with running(busybox_paths, empty=False) as boat:
        identity = await boat.start("sleep", "1000")
    other = Paths(busybox_paths.root.parent / "other", busybox_paths.run)
    async with running(other):
        pass
    async with running(busybox_paths) as boat:
        assert await boat.status(identity) == "running"


async def test_a_layer_that_was_deleted_by_hand(busybox_paths: Paths) -> None:
    """It is unpacked again from its blob; one sentence when that is gone too."""
    async with running(busybox_paths, empty=False) as boat:
        identity = await boat.create("true")
        _delete_layers(busybox_paths)
        await boat.containers.start(identity)
        await boat.containers.wait(identity, "not-running").result()
    _delete_layers(busybox_paths)
    async with running(busybox_paths) as boat:  # one that does not hold the layer's mount any more
        for blob in (busybox_paths.content / "blobs/sha256").iterdir():
            if blob.stat().st_size > 100_000:
                blob.unlink()
        with pytest.raises(CortenError) as caught:
            await boat.containers.start(identity)
        assert "Errno" not in caught.value.message
        assert "load or pull the image again" in caught.value.message, caught.value.message


def _delete_layers(paths: Paths) -> None:
    for layer in paths.snapshots.iterdir():
        if not layer.name.startswith("."):
            shutil.rmtree(layer)


@pytest.mark.parametrize("damage", ["truncated", "deleted", "other"])
@pytest.mark.parametrize("largest", [True, False])
async def test_a_blob_that_was_damaged(
    busybox_paths: Paths, busybox_archive: Path, damage: str, largest: bool
) -> None:
    """A container of the image starts all the same; to save it fails, and loading it again mends it."""
    blobs = sorted((busybox_paths.content / "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size)
    blob = blobs[-1 if largest else 0]
    blob.chmod(0o600)
    if damage == "truncated":
        os.truncate(blob, 10)
    elif damage == "deleted":
        blob.unlink()
    else:
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
    async with running(busybox_paths) as boat:
        assert (await boat.sh("echo fine")).out == "fine\n"
        with pytest.raises(CortenError) as caught:
            async for _ in await boat.engine.images.save(["busybox"]):
                pass
        assert blob.name in caught.value.message, caught.value.message
        assert "Errno" not in caught.value.message
        await load_image(boat.engine, busybox_archive)
        async for _ in await boat.engine.images.save(["busybox"]):
            pass


async def test_a_volume_that_was_deleted_by_hand(busybox_paths: Paths) -> None:
    async with running(busybox_paths) as boat:
        identity = await boat.create("true", host={"binds": ["data:/v"]})
        shutil.rmtree(busybox_paths.volumes / "data")
        with pytest.raises(CortenError, match="volume data"):
            await boat.containers.start(identity)


async def test_a_container_directory_that_was_deleted_by_hand(busybox_paths: Paths) -> None:
    async with running(busybox_paths) as boat:
        identity = await boat.create("true")
        shutil.rmtree(busybox_paths.container(identity))
        with pytest.raises(CortenError) as caught:
            await boat.containers.start(identity)
        assert identity[:12] in caught.value.message or "/upper" in caught.value.message, caught.value.message
        await boat.containers.remove(identity)
        assert await boat.containers.list(all=True) == []


async def test_a_start_that_was_cut_short_leaves_no_cgroup(busybox_paths: Paths) -> None:
    """The engine and the starter were killed when the cgroup had been made, and the process had not."""
    async with running(busybox_paths, empty=False) as boat:
        identity = await boat.create("true")
        core = boat.engine._core
        usual = usual_directories(core.cgroup_path(core.catalog.resolve(identity)), core.layout)
        directories = [directory for _name, directory in usual]
    busybox_paths.container_run(identity).mkdir()
    for directory in directories:
        os.makedirs(directory)
    assert directories
    async with running(busybox_paths) as boat:
        assert not [directory for directory in directories if os.path.exists(directory)]
        assert await boat.status(identity) == "created"
