"""SIGKILL of the engine at any moment of a build."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.solve.result import Result
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.build.run import crashing
from tests.system.build.run.test_ending import cgroups_of, processes
from tests.system.build.run.yard import BUSYBOX, Yard, context, copy, sh
from tests.system.conftest import clean, leftovers

pytestmark = pytest.mark.root


@pytest.fixture
def loop_runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def place(short_tmp: Path, busybox_root: Path) -> Iterator[Path]:
    """An engine's directories, and a context. In the end the next engine removes what a dead one has left."""
    subprocess.run(["cp", "-a", "--reflink=auto", busybox_root, short_tmp / "root"], check=True)
    (short_tmp / "context").mkdir()
    (short_tmp / "context" / "file").write_text("x")
    yield short_tmp
    paths = Paths(short_tmp / "root", short_tmp / "run")

    async def recover() -> None:
        await (await Engine.start(paths)).close()

    asyncio.run(recover())
    left = leftovers(paths)
    clean(paths)
    assert not left, left


def crash(place: Path, after: float) -> set[str]:
    """Runs builds for so long; the ids of steps that were running when the engine was killed."""
    module = Path(crashing.__file__)
    process = subprocess.Popen(
        [sys.executable, str(module), str(place)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((*sys.path, str(module.parents[4])))},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(after)
    running = set(os.listdir(place / "root/build/running"))
    process.kill()
    process.wait()
    process.stdout.close()
    return running


@pytest.mark.parametrize("moment", range(6))
async def test_the_next_engine_finds_nothing_half_made(place: Path, moment: int) -> None:
    running: set[str] = set()
    for again in range(2):
        running |= crash(place, 0.1 + 0.037 * moment + 0.011 * again)
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    try:
        await yard.solver.recover()
        assert not processes(f": {place}")
        assert os.listdir(yard.executor._running) == []
        assert os.listdir(yard.executor._runs) == []
        assert os.listdir(yard.layers._own.staging) == []
        assert not [path for identity in running for path in cgroups_of(identity)]
        records = yard.database.all("SELECT key, chain FROM records")
        for key, _chain in records:
            record = yard.solver.records.find(key)
            assert record is not None
            assert yard.solver.records.intact(record)
        needed = {layer for _key, chain in records for layer in chain.split() if ":" not in layer}
        assert {name.partition(":")[2] for name in yard.layers._own.walk()} == needed
        # And it goes on where it was: what was recorded is found, and has what it should.
        yard.contexts.paths["context"] = place / "context"
        target = copy(sh(BUSYBOX, "echo 0 > /a"), context(), "file", "/copied-0")
        with await yard.solve(target) as results:
            layers = results.result(target).layers
            assert yard.files(Result(layers)) == {"a": "0\n", "copied-0": "x"}
    finally:
        await yard.close()
        await yard.engine.close()


async def test_a_step_ends_with_its_engine(place: Path) -> None:
    """Before any other engine has come."""
    crash(place, 0.2)
    for _ in range(500):
        if not processes(f": {place}"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(processes(f": {place}"))


async def test_layers_of_another_boot_that_were_not_on_disk(place: Path) -> None:
    """A power failure: what is not known to have reached the disk is made again."""
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    target = sh(BUSYBOX, "echo x > /x")
    await yard.build(target)
    (name,) = yard.layers._own.walk()
    record = yard.layers._own.record(name)
    record.unsettled = "another-boot"
    yard.layers._own._write_record(yard.layers._own.directory(name), record)
    await yard.close()
    await yard.engine.close()
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    try:
        await yard.solver.recover()
        assert yard.database.all("SELECT * FROM records") == []
        assert await yard.build(target) == {"x": "x\n"}
    finally:
        await yard.close()
        await yard.engine.close()


async def test_a_damaged_database_is_begun_anew(place: Path) -> None:
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    await yard.build(sh(BUSYBOX, "echo x > /x"))
    await yard.close()
    await yard.engine.close()
    for path in (place / "root/build").glob("cache.db-*"):
        path.unlink()
    (place / "root/build/cache.db").write_bytes(b"no database" * 1000)
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    try:
        await yard.solver.recover()
        assert list(yard.layers._own.walk()) == []
        assert await yard.build(sh(BUSYBOX, "echo x > /x")) == {"x": "x\n"}
    finally:
        await yard.close()
        await yard.engine.close()
