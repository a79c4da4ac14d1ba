"""What everything that runs the processes of a build must do: the engine's own executor, in containers."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.graph import Exec
from corten.build.solve.cache_mounts import CacheMounts
from corten.build.solve.database import CacheDatabase
from corten.build.solve.failure import ProcessFailed
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Draft, Drafted, ExecRequest, Executor, Log
from corten.build.solve.result import BuiltLayer, Result
from corten.engine.build_executor import BuildExecutor
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.engine.snapshots import open_snapshotter
from corten.errors import Denied
from tests.system.conftest import busybox_layer, docker_archive, load_image

pytestmark = pytest.mark.root


class NoSecrets:
    async def read(self, id: str) -> bytes | None:
        return None

    async def agent(self, id: str) -> str | None:
        return None


class Bench:
    """An executor, and busybox to run."""

    def __init__(self, engine: Engine) -> None:
        core = engine._core
        self.engine = engine
        core.paths.build.mkdir()
        self.database = CacheDatabase(core.paths.build / "cache.db")
        snapshotter = open_snapshotter(core.paths.build / "layers")
        self.layers = LayerStore(self.database, core.images.registrar, snapshotter)
        mounts = CacheMounts(core.paths.build / "mounts", self.database)
        self.executor: Executor = BuildExecutor(core, self.layers, mounts)
        image = core.images.resolve("busybox")
        self.root = Result(tuple(BuiltLayer(chain_id) for chain_id in image.chain))
        self.said: list[tuple[int, bytes]] = []

    def request(self, script: str, **more: object) -> ExecRequest:
        operation = Exec(("/bin/sh", "-c", script), (), "/", network="none", **more)  # type: ignore[arg-type]
        return ExecRequest(operation, "RUN", self.root, {}, 5, NoSecrets())

    async def run(self, script: str, log: Log | None = None, **more: object) -> tuple[Draft, Drafted]:
        draft = self.layers.draft()
        made = await self.executor.run(
            self.request(script, **more),
            draft,
            log or (lambda stream, data: self.said.append((stream, data))),
        )
        return draft, made


@pytest.fixture
def bench(loop_runner: asyncio.Runner) -> Iterator[Bench]:
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    (place / "busybox.tar").write_bytes(docker_archive(busybox_layer(), {"Cmd": ["sh"]}, "busybox:latest"))

    async def start() -> Bench:
        engine = await Engine.start(Paths(place / "root", place / "run"))
        await load_image(engine, place / "busybox.tar")
        return Bench(engine)

    async def stop() -> None:
        made.layers.close()
        made.database.close()
        await made.engine.close()

    made = loop_runner.run(start())
    yield made
    loop_runner.run(stop())
    shutil.rmtree(place)


async def test_a_draft_holds_what_has_changed(bench: Bench) -> None:
    draft, made = await bench.run("echo 12345 > /x; mkdir /d; rm /etc/group")
    fs = draft.directory / "fs"
    assert {path.name for path in fs.iterdir()} == {"x", "d", "etc"}
    assert (fs / "x").stat().st_mtime == 5
    assert made.size == 6
    assert made.inodes == 4
    assert [path.name for path in draft.directory.iterdir()] == ["fs"]


async def test_all_output_has_come_when_it_returns(bench: Bench) -> None:
    await bench.run("echo out; echo err >&2; seq 20000")
    streams = {stream: b"".join(data for s, data in bench.said if s == stream) for stream in (1, 2)}
    assert streams[2] == b"err\n"
    assert streams[1].startswith(b"out\n1\n")
    assert streams[1].endswith(b"\n20000\n")


async def test_an_exit_code_is_a_failure(bench: Bench) -> None:
    with pytest.raises(ProcessFailed, match='process "/bin/sh -c exit 42" did not complete') as caught:
        await bench.run("exit 42")
    assert (caught.value.exit_code, caught.value.oom_killed) == (42, False)
    with pytest.raises(ProcessFailed) as caught:
        await bench.run("sh -c 'kill -9 $$'; exit $?")
    assert caught.value.exit_code == 137


async def test_what_is_not_allowed(bench: Bench) -> None:
    with pytest.raises(Denied):
        await bench.run("true", security="insecure")


async def test_side_by_side(bench: Bench) -> None:
    made = await asyncio.gather(*(bench.run(f"echo {n} > /n; sleep 0.1") for n in range(5)))
    assert [(draft.directory / "fs" / "n").read_text() for draft, _ in made] == [f"{n}\n" for n in range(5)]


async def test_a_cancelled_process_is_gone(bench: Bench) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(bench.run("echo begun; sleep 1000", lambda stream, data: begun.set()))
    await begun.wait()
    pids = {monitor.pid for monitor in bench.engine._core.launcher._monitors.values()}
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def test_recovery_of_nothing(bench: Bench) -> None:
    await bench.executor.recover()
    await bench.executor.recover()
    await bench.run("true")
