"""Bad requests: one clear sentence, and nothing half-made behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.api.container import ContainerCreate, Healthcheck
from corten.api.exec import ExecCreate
from corten.api.host_config import DeviceMapping, HostConfig, LogConfig, PortBinding, Ulimit
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.errors import Conflict, CortenError, InvalidArgument, NoSpace, NotFound
from tests.system.conftest import processes
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root

CASES: list[tuple[dict[str, Any], dict[str, Any], type[CortenError], str]] = [
    ({"image": "no-such-image"}, {}, NotFound, "[Nn]o such image: no-such-image"),
    ({"image": "UPPER/case"}, {}, CortenError, "UPPER/case"),
    ({"image": ""}, {}, InvalidArgument, "no image given"),
    ({"hostname": "-bad"}, {}, InvalidArgument, "invalid hostname"),
    ({"working_dir": "relative"}, {}, InvalidArgument, "needs to be an absolute path"),
    ({"env": ["=x"]}, {}, InvalidArgument, "invalid environment variable"),
    ({"cmd": ["a\0b"]}, {}, InvalidArgument, "NUL character"),
    ({"stop_signal": "SIGNOPE"}, {}, InvalidArgument, "Invalid signal: SIGNOPE"),
    ({"healthcheck": Healthcheck(test=["CMD"])}, {}, InvalidArgument, "has no command"),
    ({"healthcheck": Healthcheck(test=["RUN", "x"])}, {}, InvalidArgument, "unknown type 'RUN'"),
    ({"healthcheck": Healthcheck(test=["CMD", "x"], interval=10)}, {}, InvalidArgument, "less than 1ms"),
    ({}, {"network_mode": "no-such-network"}, InvalidArgument, "no-such-network"),
    ({}, {"network_mode": "container:nobody"}, InvalidArgument, "No such container: nobody"),
    ({}, {"pid_mode": "container:nobody"}, InvalidArgument, "No such container: nobody"),
    ({}, {"pid_mode": "wrong"}, InvalidArgument, "invalid PID mode"),
    ({}, {"ipc_mode": "wrong"}, InvalidArgument, "invalid IPC mode"),
    ({}, {"uts_mode": "wrong"}, InvalidArgument, "invalid UTS mode"),
    ({"hostname": "x"}, {"uts_mode": "host"}, InvalidArgument, "hostname and the UTS mode"),
    ({}, {"cap_add": ["FLY"]}, InvalidArgument, 'unknown capability: "FLY"'),
    ({}, {"security_opt": ["colour=red"]}, InvalidArgument, "invalid --security-opt"),
    ({}, {"security_opt": ["seccomp=/no/file"]}, InvalidArgument, "seccomp"),
    ({}, {"security_opt": ["seccomp={broken"]}, InvalidArgument, "seccomp"),
    ({}, {"sysctls": {"kernel.panic": "1"}}, InvalidArgument, "kernel.panic"),
    ({}, {"sysctls": {"../x": "1"}}, InvalidArgument, "sysctl"),
    ({}, {"ulimits": [Ulimit(name="wrong", soft=1, hard=1)]}, InvalidArgument, "invalid ulimit type"),
    ({}, {"ulimits": [Ulimit(name="nofile", soft=2, hard=1)]}, InvalidArgument, "less than or equal"),
    ({}, {"devices": [DeviceMapping(path_on_host="/dev/no-such")]}, CortenError, "/dev/no-such"),
    ({}, {"device_cgroup_rules": ["nonsense"]}, InvalidArgument, "nonsense"),
    ({}, {"log_config": LogConfig(type="smoke")}, InvalidArgument, "no log driver named 'smoke'"),
    (
        {},
        {"log_config": LogConfig(type="json-file", config={"max-size": "big"})},
        InvalidArgument,
        "max-size",
    ),
    ({}, {"links": ["a:b"]}, InvalidArgument, "links are not supported"),
    ({}, {"runtime": "other"}, InvalidArgument, "unknown or invalid runtime name"),
    ({}, {"extra_hosts": ["nothing"]}, InvalidArgument, "bad format for add-host"),
    ({}, {"dns": ["not-an-address"]}, InvalidArgument, "not-an-address"),
    (
        {},
        {"network_mode": "bridge", "port_bindings": {"80/tcp": [PortBinding(host_port="notaport")]}},
        InvalidArgument,
        "notaport",
    ),
    ({}, {"volumes_from": ["nobody"]}, InvalidArgument, "No such container: nobody"),
    ({}, {"shm_size": -1}, InvalidArgument, "SHM size"),
    ({}, {"group_add": ["no-such-group"]}, CortenError, "no-such-group"),
]


@pytest.mark.parametrize(("config", "host", "error", "words"), CASES, ids=[case[3] for case in CASES])
async def test_a_bad_create(
    boat: Boat, config: dict[str, Any], host: dict[str, Any], error: type[CortenError], words: str
) -> None:
    """Refused at creation, or at the latest at the start; then the container is there and says why."""
    request = ContainerCreate(
        **{"image": "busybox", "cmd": ["true"], **config},
        host_config=HostConfig(**{"network_mode": "none", **host}),
    )
    with pytest.raises(error, match=words) as caught:
        created = await boat.containers.create(request, name="bad")
        await boat.containers.start(created.id)
    assert "\n" not in caught.value.message
    for container in await boat.containers.list(all=True):
        assert container.state == "created"
        assert (await boat.containers.inspect(container.id)).state.error
        await boat.containers.remove(container.id)
    assert not os.listdir(boat.engine.paths.containers)
    assert not os.listdir(boat.engine.paths.container_runs)
    good = await boat.run("true", name="bad")
    await boat.containers.remove(good.id)


async def test_operations_in_the_wrong_state(boat: Boat) -> None:
    identity = await boat.create("true", name="idle")
    for call in (
        boat.containers.kill(identity),
        boat.containers.pause(identity),
        boat.containers.unpause(identity),
        boat.containers.resize(identity, height=1, width=1),
        boat.containers.top(identity),
        boat.engine.execs.create(identity, ExecCreate(cmd=["true"])),
    ):
        with pytest.raises(Conflict, match=r"not running|not paused|stopped"):
            await call
    with pytest.raises(InvalidArgument, match='invalid condition: "never"'):
        boat.containers.wait(identity, "never")
    with pytest.raises(InvalidArgument, match="invalid filter"):
        await boat.containers.list(filters={"colour": ["red"]})
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        await boat.containers.kill(identity, "NOPE")
    with pytest.raises(InvalidArgument, match="No exec command"):
        running = await boat.start("sleep", "60")
        await boat.engine.execs.create(running, ExecCreate(cmd=[]))
    with pytest.raises(NotFound, match="No such exec instance"):
        boat.engine.execs.inspect("0" * 64)


async def test_the_filters_of_ps(boat: Boat) -> None:
    first = await boat.start("sleep", "60", name="first", labels={"a": "1", "b": "2"})
    second = (await boat.sh("exit 3", name="second", host={"binds": ["vol:/v"]})).id
    third = await boat.create("true", name="third", exposed_ports={"80/tcp": {}})

    async def found(**filters: list[str]) -> set[str]:
        listed = await boat.containers.list(all=True, filters=filters)
        names = {first: "first", second: "second", third: "third"}
        return {names[item.id] for item in listed}

    assert await found() == {"first", "second", "third"}
    assert {item.id for item in await boat.containers.list()} == {first}
    assert await found(status=["exited", "created"]) == {"second", "third"}
    assert await found(name=["^/fi"]) == {"first"}
    assert await found(name=["ir"]) == {"first", "third"}
    assert await found(id=[second[:12]]) == {"second"}
    assert await found(label=["a", "b=2"]) == {"first"}
    assert await found(label=["a=2"]) == set()
    assert await found(exited=["3"]) == {"second"}
    assert await found(before=["third"]) == {"first", "second"}
    assert await found(since=["first"]) == {"second", "third"}
    assert await found(volume=["vol"]) == {"second"}
    assert await found(network=["none"]) == {"first", "second", "third"}
    assert await found(network=["bridge"]) == set()
    assert await found(ancestor=["busybox"]) == {"first", "second", "third"}
    assert await found(ancestor=["other"]) == set()
    assert await found(health=["none"]) == {"first", "second", "third"}
    assert await found(expose=["80"]) == {"third"}
    limited = await boat.containers.list(limit=1)
    assert [item.id for item in limited] == [third]


@pytest.fixture
def small_disk(engine_paths: Paths, busybox_root: Path) -> Iterator[Paths]:
    """A data directory on a file system of its own that has little room."""
    engine_paths.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", engine_paths.root], check=True)
    try:
        subprocess.run(["cp", "-a", f"{busybox_root}/.", engine_paths.root], check=True)
        yield engine_paths
    finally:
        # Monitors end after the engine; while they hold their log the file system is busy.
        for _ in range(100):
            if not processes(engine_paths):
                break
            time.sleep(0.05)
        subprocess.run(["umount", engine_paths.root], check=True)


def fill(directory: Path) -> None:
    """Not a byte is left."""
    for number, size in enumerate((1 << 20, 1 << 12, 1)):
        with open(directory / f"filler-{number}", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Paths) -> None:
    engine = await Engine.start(small_disk)
    boat = Boat(engine)
    try:
        fill(small_disk.root)
        with pytest.raises(NoSpace, match="disk is full"):
            for number in range(200):  # some rows still fit into what the database has
                await boat.create("true", name=f"full-{number}", host={"binds": [f"volume-{number}:/v"]})
        rows = await boat.containers.list(all=True)
        assert {item.id for item in rows} == set(os.listdir(small_disk.containers))
        for filler in small_disk.root.glob("filler-*"):
            filler.unlink()
        ran = await boat.run("true")
        assert ran.code == 0
        for item in await boat.containers.list(all=True):
            await boat.containers.remove(item.id)
    finally:
        await engine.close()


async def test_a_container_that_fills_the_disk_fails_alone(small_disk: Paths) -> None:
    engine = await Engine.start(small_disk)
    boat = Boat(engine)
    try:
        # What it says while the disk is full may be lost, for the log is there as well; not what comes after.
        ran = await boat.sh(
            "dd if=/dev/zero of=/big bs=1M count=100; code=$?; rm /big; echo code=$code; exit 5"
        )
        assert (ran.code, ran.out) == (5, "code=1\n")
        await boat.containers.remove(ran.id)
    finally:
        await engine.close()
