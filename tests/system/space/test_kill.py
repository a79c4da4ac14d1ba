"""SIGKILL at random moments of pulls and removals: the next engine's store is whole, and df tells the truth.

CORTEN_TEST_KILLS sets how often (100 for a release).
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import EngineProcess
from tests.system.image.test_registry import Registry
from tests.unit.content.test_allocation import du
from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import member, tar_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs Debian's docker-registry"),
]

KILLS = int(os.environ.get("CORTEN_TEST_KILLS", "15"))
SEED = int(os.environ.get("CORTEN_TEST_SEED", "1"))


class Api:
    """The engine's API, over its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("engine")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.settimeout(60)
            connection.sock.connect(str(self._path))
            headers = {"Content-Type": "application/x-tar"} if body else {}
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read()

    def json(self, method: str, path: str) -> Any:
        status, data = self.call(method, path)
        assert status < 300, data
        return json.loads(data)

    def lines(self, path: str) -> list[dict[str, Any]]:
        status, data = self.call("POST", path)
        assert status == 200, data
        return [json.loads(line) for line in data.splitlines()]


def noise(size: int) -> bytes:
    return os.urandom(size)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path / "registry")
    yield registry
    registry.stop()


def publish(api: Api, registry: Registry) -> list[str]:
    """Two images that share layers, pushed by the engine and removed again."""
    base = [tar_of([member(f"b{n}-{m}", noise(30_000)) for m in range(10)]) for n in range(3)]
    big = tar_of([member("big", noise(3_000_000)), member("etc/x", b"x")])
    names = []
    for number, layers in enumerate(([*base, big], [*base[:2], tar_of([member("etc/.wh.x"), member("y")])])):
        name = f"{registry.host}/app{number}:1"
        status, said = api.call("POST", "/images/load", docker_archive(layers, [name]))
        assert status == 200, said
        status, said = api.call("POST", f"/images/{name}/push?tag=1")
        assert status == 200 and b"errorDetail" not in said, said
        api.json("DELETE", f"/images/{name}?force=1")
        names.append(name)
    return names


def work(api: Api, name: str, chance: random.Random) -> None:
    """Pulls and removals, until the engine is gone."""
    try:
        while True:
            image, _, tag = name.rpartition(":")
            api.call("POST", f"/images/create?fromImage={image}&tag={tag}")
            if chance.random() < 0.7:
                api.call("DELETE", f"/images/{name}?force=1")
            if chance.random() < 0.3:
                api.call("POST", '/images/prune?filters={"dangling":["false"]}')
    except (OSError, http.client.HTTPException):
        return


def check(engine: EngineProcess, api: Api) -> None:
    lines = api.lines("/corten/fsck")
    assert [line for line in lines if "problem" in line] == []
    assert lines[-1]["summary"]["left"] == 0
    deadline = time.monotonic() + 10
    while True:
        # A worker of the killed engine may just be cleaning up after itself.
        said = api.json("GET", "/system/df")["LayersSize"]
        found = du(engine.paths.content, engine.paths.snapshots)
        if said == found:
            return
        assert time.monotonic() < deadline, (said, found)
        time.sleep(0.05)


def test_killed_at_random_moments(engine_process: EngineProcess, registry: Registry) -> None:
    api = Api(engine_process.socket)
    engine_process.start()
    names = publish(api, registry)
    chance = random.Random(SEED)
    check(engine_process, api)
    for number in range(KILLS):
        workers = [
            threading.Thread(target=work, args=(api, name, random.Random(f"{SEED} {number} {name}")))
            for name in names
        ]
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0.0, 0.9))
        engine_process.kill()
        for worker in workers:
            worker.join()
        engine_process.start()
        check(engine_process, api)
    for name in names:
        image, _, tag = name.rpartition(":")
        status, said = api.call("POST", f"/images/create?fromImage={image}&tag={tag}")
        assert status == 200 and b"errorDetail" not in said, said
    check(engine_process, api)
    api.json("POST", '/images/prune?filters={"dangling":["false"]}')
    assert api.json("GET", "/images/json") == []
    assert not list((engine_process.paths.content / "blobs/sha256").iterdir())
    assert not [path for path in engine_process.paths.snapshots.iterdir() if path.name[0] != "."]
    check(engine_process, api)
    assert engine_process.stop() == 0
