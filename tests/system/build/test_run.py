"""RUN in real containers: what the process sees, and what becomes of what it changes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.graph import Exec, Vertex
from corten.build.solve.failure import BuildFailed, ProcessFailed
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.build.solving import BUSYBOX, Yard, sh
from tests.system.conftest import clean, leftovers

pytestmark = pytest.mark.root


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


@pytest.fixture
def yard(shared: Yard) -> Iterator[Yard]:
    """The engine's; nothing of a build may be left."""
    yield shared
    assert list(shared.executor._running.iterdir()) == []
    assert list(shared.executor._runs.iterdir()) == []
    assert list(shared.layers._own.staging.iterdir()) == []


async def test_what_a_process_changes_is_a_layer(yard: Yard) -> None:
    step = sh(BUSYBOX, "echo hi > /greeting; mkdir -p /a/b; ln -s b /a/link; rm /etc/not-executable")
    with await yard.solve(sh(step, "cat /greeting > /again; test ! -e /etc/not-executable")) as results:
        target = [vertex for vertex, _ in results.items()][-1]
        found = yard.files(results.result(target))
    assert found == {
        "a/": "",
        "a/b/": "",
        "a/link": "b",
        "again": "hi\n",
        "etc/": "",
        "etc/not-executable": "deleted",
        "greeting": "hi\n",
    }


async def test_output_and_failure(yard: Yard) -> None:
    with pytest.raises(BuildFailed) as caught:
        await yard.build(sh(BUSYBOX, "echo out; echo err >&2; exit 3"))
    assert caught.value.message == (
        'process "/bin/sh -c echo out; echo err >&2; exit 3" did not complete successfully: exit code: 3'
    )
    assert isinstance(caught.value.cause, ProcessFailed)
    assert caught.value.cause.exit_code == 3
    assert sorted(yard.log.split()) == ["err", "out"]


async def test_nothing_of_the_mounts_is_left(yard: Yard) -> None:
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf > /dev/null; ls /proc/1 /sys /dev/null"
    assert await yard.build(sh(BUSYBOX, script)) == {}


async def test_a_command_that_is_not_there(yard: Yard) -> None:
    target = Vertex(Exec(("/no/such",), (), "/", network="none"), (BUSYBOX,), name="RUN")
    with pytest.raises(
        BuildFailed, match=r'process "/no/such" did not complete .*: exit code: 127: .*no such'
    ):
        await yard.build(target)
    target = Vertex(Exec(("/etc/passwd",), (), "/", network="none"), (BUSYBOX,), name="RUN")
    with pytest.raises(BuildFailed, match="exit code: 126"):
        await yard.build(target)
