"""An engine and a solver that the tests of a module share."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.solve.protocols import Draft
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.build.run.yard import Yard
from tests.system.conftest import clean, leftovers


@pytest.fixture(scope="module")
def loop_runner() -> Iterator[asyncio.Runner]:
    """One loop for the module: its tests share an engine."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shared(loop_runner: asyncio.Runner, busybox_root: Path) -> Iterator[Yard]:
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    paths = Paths(place / "root", place / "run")
    subprocess.run(["cp", "-a", "--reflink=auto", busybox_root, paths.root], check=True)

    async def start() -> Yard:
        return Yard(await Engine.start(paths))

    async def stop() -> None:
        await yard.close()
        await yard.engine.close()

    yard = loop_runner.run(start())
    yield yard
    loop_runner.run(stop())
    left = leftovers(paths)
    clean(paths)
    shutil.rmtree(place, ignore_errors=True)
    assert not left, left


@pytest.fixture(autouse=True)
def _no_cgroup_stays(request: pytest.FixtureRequest, loop_runner: asyncio.Runner) -> Iterator[None]:
    """Whatever ran in the test's engine has left no cgroup."""
    ids: list[str] = []
    if "shared" not in request.fixturenames:
        yield
        return
    shared: Yard = request.getfixturevalue("shared")
    draft = shared.layers.draft

    def noting() -> Draft:
        made = draft()
        ids.append(made.id)
        return made

    shared.layers.draft = noting  # type: ignore[method-assign]
    yield
    shared.layers.draft = draft  # type: ignore[method-assign]
    loop_runner.run(shared.executor.close())
    places = ("corten*", "*/corten*")
    left = [
        path
        for identity in ids
        for place in places
        for path in Path("/sys/fs/cgroup").glob(f"{place}/build-{identity}")
    ]
    assert not left, left


@pytest.fixture
def yard(shared: Yard, loop_runner: asyncio.Runner) -> Iterator[Yard]:
    """The engine's; nothing of a build may be left."""
    yield shared
    loop_runner.run(shared.executor.close())
    assert list(shared.executor._running.iterdir()) == []
    assert list(shared.executor._runs.iterdir()) == []
    assert list(shared.layers._own.staging.iterdir()) == []
