"""Engines on disks that are small, and the engine's short forms."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.conftest import clean, leftovers
from tests.system.engine.conftest import Boat

SMALL = 16 << 20


@asynccontextmanager
async def running(paths: Paths, *, empty: bool = True) -> AsyncIterator[Boat]:
    """An engine on `paths`; with `empty`, its containers are removed in the end."""
    engine = await Engine.start(paths)
    try:
        yield Boat(engine)
        for container in await engine.containers.list(all=True) if empty else ():
            await engine.containers.remove(container.id, force=True)
    finally:
        await engine.close()


def unmount(disk: Path) -> None:
    """Monitors hold the mounts of containers that have ended for a moment longer."""
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", disk], capture_output=True).returncode:
        assert time.monotonic() < deadline, f"{disk} stays busy"
        time.sleep(0.05)


@pytest.fixture
def small_disk(short_tmp: Path, busybox_root: Path) -> Iterator[Paths]:
    """Directories of an engine that has busybox, its data on a disk of 16 MiB."""
    paths = Paths(short_tmp / "root", short_tmp / "run")
    paths.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "small", paths.root], check=True)
    try:
        subprocess.run(["cp", "-a", f"{busybox_root}/.", paths.root], check=True)
        yield paths
    finally:
        clean(paths)
        unmount(paths.root)
    left = leftovers(paths)
    assert not left, left


__all__ = ["running", "small_disk"]
