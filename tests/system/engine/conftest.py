"""Short forms for what the engine's system tests do all the time."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corten.api.container import ContainerCreate
from corten.api.exec import ExecCreate
from corten.api.host_config import HostConfig
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.engine.results import LogQuery
from tests.system.conftest import cgroups_of, clean, leftovers

EXIT = "next-exit"


@dataclass(frozen=True)
class Ran:
    """A container that ended."""

    id: str
    code: int
    out: str
    err: str


class Boat:
    """An engine with short words."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.containers = engine.containers

    async def create(
        self, *cmd: str, name: str | None = None, host: dict[str, Any] | None = None, **config: Any
    ) -> str:
        options = {"network_mode": "none", **(host or {})}
        request = ContainerCreate(
            image="busybox", cmd=list(cmd) or None, host_config=HostConfig(**options), **config
        )
        return (await self.containers.create(request, name=name)).id

    async def start(self, *cmd: str, **options: Any) -> str:
        identity = await self.create(*cmd, **options)
        await self.containers.start(identity)
        return identity

    async def run(self, *cmd: str, **options: Any) -> Ran:
        """Create, start, wait and read the output. The container stays."""
        identity = await self.create(*cmd, **options)
        waiter = self.containers.wait(identity, EXIT)
        await self.containers.start(identity)
        result = await waiter.result()
        out, err = await self.output(identity)
        return Ran(identity, result.status_code, out, err)

    async def sh(self, script: str, **options: Any) -> Ran:
        return await self.run("sh", "-c", script, **options)

    async def output(self, identity: str) -> tuple[str, str]:
        stream = await self.containers.logs(identity, LogQuery())
        data = b"".join([chunk async for chunk in stream.chunks])
        if stream.tty:
            return data.decode(), ""
        streams = {1: b"", 2: b""}
        while data:
            size = int.from_bytes(data[4:8], "big")
            streams[data[0]] += data[8 : 8 + size]
            data = data[8 + size :]
        return streams[1].decode(), streams[2].decode()

    async def exec(self, identity: str, *cmd: str, **options: Any) -> tuple[int, str]:
        request = ExecCreate(cmd=list(cmd), attach_stdout=True, attach_stderr=True, **options)
        container = self.engine._core.catalog.resolve(identity)
        return await self.engine.execs.run_check(container, request, 20)

    async def status(self, identity: str) -> str:
        return (await self.containers.inspect(identity)).state.status


@pytest.fixture(scope="module")
def loop_runner() -> Iterator[asyncio.Runner]:
    """One loop for a module's tests: they share an engine."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(loop_runner: asyncio.Runner, busybox_root: Path) -> Iterator[Engine]:
    """One engine, with busybox, for the tests of a module; `boat` cleans up between them."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    paths = Paths(place / "root", place / "run")
    subprocess.run(["cp", "-a", "--reflink=auto", busybox_root, paths.root], check=True)
    started = loop_runner.run(Engine.start(paths))
    yield started
    loop_runner.run(started.close())
    left = leftovers(paths)
    clean(paths)
    shutil.rmtree(place, ignore_errors=True)
    assert not left, left


@pytest.fixture
def boat(loop_runner: asyncio.Runner, engine: Engine) -> Iterator[Boat]:
    """The engine in short words; afterwards its containers, volumes and events are gone, and must be."""
    yield Boat(engine)

    async def clear() -> None:
        for container in await engine.containers.list(all=True):
            await engine.containers.remove(container.id, force=True)
        for volume in await engine.volumes.list():
            await engine.volumes.remove(volume.name)
        for image in await engine.images.list():
            if "busybox:latest" not in image.repo_tags:
                await engine.images.remove(image.id, force=True)

    loop_runner.run(clear())
    made = {event.actor_id for event in engine.events._ring if event.action == "create"}
    engine.events._ring.clear()
    assert not cgroups_of(made)
    assert not list(engine.paths.containers.iterdir())
    assert not list(engine.paths.container_runs.iterdir())


@pytest.fixture
def events(engine: Engine) -> Callable[[], list[str]]:
    """The actions of all container events so far."""
    return lambda: [event.action for event in engine.events._ring if event.type == "container"]
