"""Images in containers (`--mount type=image`), in every way in which some kernel mounts layers."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corten.api.container import ContainerCreate
from corten.api.host_config import HostConfig, ImageOptions, Mount
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.engine.results import CommitOptions, LogQuery
from corten.errors import CortenError
from corten.snapshot.erofs.support import DETACHED, FILE, LOOP, probe
from tests.system.conftest import clean, leftovers

pytestmark = pytest.mark.root

_ORDER = [LOOP, FILE, DETACHED]


@dataclass(frozen=True)
class Ship:
    """An engine that mounts layers in one of these ways, with the image `tools` of two layers."""

    engine: Engine
    runner: asyncio.Runner

    def run(self, script: str, *mounts: Mount, binds: tuple[str, ...] = (), image: str = "busybox") -> str:
        """What the container writes to stdout."""
        return self.runner.run(self._run(script, mounts, binds, image))[1]

    def commit(self, script: str, name: str, image: str = "busybox") -> None:
        """A new image with one more layer."""

        async def make() -> None:
            identity, _ = await self._run(script, (), (), image)
            await self.engine.containers.commit(CommitOptions(identity, name, "latest"))

        self.runner.run(make())

    async def _run(
        self, script: str, mounts: tuple[Mount, ...], binds: tuple[str, ...], image: str
    ) -> tuple[str, str]:
        host = HostConfig(network_mode="none", mounts=list(mounts), binds=list(binds))
        request = ContainerCreate(image=image, cmd=["sh", "-c", script], host_config=host)
        containers = self.engine.containers
        identity = (await containers.create(request)).id
        waiter = containers.wait(identity, "next-exit")
        await containers.start(identity)
        await waiter.result()
        stream = await containers.logs(identity, LogQuery(stderr=False))
        data = b"".join([chunk async for chunk in stream.chunks])
        text = b""
        while data:
            size = int.from_bytes(data[4:8], "big")
            text += data[8 : 8 + size]
            data = data[8 + size :]
        return identity, text.decode()


@pytest.fixture(scope="module", params=_ORDER)
def ship(request: pytest.FixtureRequest, busybox_root: Path) -> Iterator[Ship]:
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    paths = Paths(place / "root", place / "run")
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", busybox_root, paths.root], check=True)
        found = probe(paths.snapshots)
        if found is None or _ORDER.index(request.param) > _ORDER.index(found.method):
            pytest.skip(f"this kernel does not support {request.param}")
        if request.param == LOOP and not Path("/dev/loop-control").exists():
            pytest.skip("no loop devices")
        record = paths.snapshots / ".erofs-support"
        record.write_text(json.dumps({**json.loads(record.read_text()), "method": request.param}))
        with asyncio.Runner() as runner:
            engine = runner.run(Engine.start(paths))
            try:
                ship = Ship(engine, runner)
                ship.commit("mkdir -p /opt/d && echo one > /opt/d/one && echo gone > /opt/d/gone", "lower")
                ship.commit("echo two > /opt/d/two && rm /opt/d/gone && mkdir /opt/m", "tools", "lower")
                yield ship
                for container in runner.run(engine.containers.list(all=True)):
                    runner.run(engine.containers.remove(container.id, force=True, volumes=True))
            finally:
                runner.run(engine.close())
        left = leftovers(paths)
        clean(paths)
        assert not left, left
    finally:
        shutil.rmtree(place, ignore_errors=True)


def tools(target: str, part: str = "") -> Mount:
    return Mount(type="image", source="tools", target=target, image_options=ImageOptions(subpath=part))


def test_the_layers_of_an_image_are_one_tree(ship: Ship) -> None:
    out = ship.run("ls /t/opt/d; cat /t/opt/d/one; /t/bin/busybox echo ran", tools("/t"))
    assert out.split() == ["one", "two", "one", "ran"]


def test_nobody_can_write_to_it(ship: Ship) -> None:
    out = ship.run(
        "touch /t/new 2>/dev/null || echo no; mount -o remount,rw /t 2>/dev/null || echo no", tools("/t")
    )
    assert out.split() == ["no", "no"]


def test_a_part_may_be_in_any_layer(ship: Ship) -> None:
    script = "ls /d /one; cat /one; test -f /bb && echo file"
    out = ship.run(script, tools("/d", "opt/d"), tools("/one", "opt/d/one"), tools("/bb", "bin/busybox"))
    assert out.split() == ["/one", "/d:", "one", "two", "one", "file"]


def test_a_volume_lies_in_a_directory_of_an_image(ship: Ship) -> None:
    out = ship.run(
        "echo kept > /t/opt/m/file; cat /t/opt/m/file; ls /t/opt/d", tools("/t"), binds=("vol:/t/opt/m",)
    )
    assert out.split() == ["kept", "one", "two"]


def test_the_container_s_own_image_twice(ship: Ship) -> None:
    script = "ls /a/opt/d /b/opt/d /opt/d; touch /opt/d/mine; ls /a/opt/d | wc -l"
    out = ship.run(script, tools("/a"), tools("/b"), image="tools")
    assert out.split() == ["/a/opt/d:", "one", "two", "/b/opt/d:", "one", "two", "/opt/d:", "one", "two", "2"]


def test_a_part_that_is_not_there(ship: Ship) -> None:
    with pytest.raises(CortenError, match="opt/nothing"):
        ship.run("true", tools("/t", "opt/nothing"))
