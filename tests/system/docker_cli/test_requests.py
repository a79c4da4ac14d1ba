"""Requests that no docker command sends: nonsense gets a sentence, and of several at once one wins."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.docker_cli.conftest import IMAGE, EngineProcess

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


class Api:
    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self._engine.socket))
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    def together(self, count: int, method: str, path: str, body: Any = None) -> list[int]:
        """The statuses of the same request, sent by `count` clients at once."""
        barrier = threading.Barrier(count)
        statuses: list[int] = []

        def send() -> None:
            barrier.wait(20)
            statuses.append(self(method, path, body)[0])

        threads = [threading.Thread(target=send) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return sorted(statuses)


@pytest.fixture
def api(docker_engine: EngineProcess) -> Api:
    return Api(docker_engine)


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:10]}"
    yield name
    api("DELETE", f"/containers/{name}?force=1&v=1")


NONSENSE: list[dict[str, Any]] = [
    {"Image": ""},
    {"Image": "UPPER/case:x"},
    {"Image": "../../etc"},
    {"Image": "a" * 5000},
    {"Cmd": []},
    {"Cmd": [""]},
    {"Cmd": ["a\0b"]},
    {"Cmd": ["true"] * 3000 + ["x" * 200_000]},
    {"Env": ["A\0=b"]},
    {"Env": ["=x"]},
    {"Env": ["A=" + "x" * 200_000]},
    {"WorkingDir": "relative"},
    {"WorkingDir": "/a\0b"},
    {"User": "no:such:user"},
    {"User": "-1"},
    {"User": "99999999999999"},
    {"Hostname": "x" * 300},
    {"Hostname": "a b"},
    {"StopSignal": "SIGNONSENSE"},
    {"StopTimeout": -5},
    {"Entrypoint": ["/nope"]},
    {"Healthcheck": {"Test": ["WHAT"]}},
    {"Healthcheck": {"Test": ["CMD", "x"], "Interval": -1}},
    {"ExposedPorts": {"eighty/tcp": {}}},
    {"Volumes": {"relative": {}}},
    {"Labels": {"": "x"}},
]
HOST_NONSENSE: list[dict[str, Any]] = [
    {"Memory": -5},
    {"Memory": 1 << 62},
    {"Memory": 6 << 20, "MemorySwap": 5 << 20},
    {"NanoCpus": -1},
    {"NanoCpus": 10**15},
    {"NanoCpus": 10**9, "CpuQuota": 1000},
    {"CpuQuota": 5},
    {"CpuPeriod": 10**9},
    {"CpuShares": -1},
    {"CpusetCpus": "9999"},
    {"CpusetCpus": "a-b"},
    {"PidsLimit": -7},
    {"BlkioWeight": 5},
    {"BlkioDeviceReadBps": [{"Path": "/dev/no-such-disk", "Rate": 1}]},
    {"BlkioDeviceReadBps": [{"Path": "/etc/passwd", "Rate": 1}]},
    {"Binds": ["x"]},
    {"Binds": ["/a:relative"]},
    {"Binds": ["/a:/b:ro:rw:what"]},
    {"Binds": ["/a\0:/b"]},
    {"Binds": ["/etc:/"]},
    {"Mounts": [{"Type": "bind", "Source": "/no/such/place", "Target": "/x"}]},
    {"Mounts": [{"Type": "bind", "Source": "", "Target": "/x"}]},
    {"Mounts": [{"Type": "what", "Target": "/x"}]},
    {"Mounts": [{"Type": "volume", "Source": "../x", "Target": "/x"}]},
    {"Mounts": [{"Type": "tmpfs", "Target": "/x"}, {"Type": "tmpfs", "Target": "/x"}]},
    {"Tmpfs": {"/x": "size=lots"}},
    {"Devices": [{"PathOnHost": "/dev/none", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]},
    {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "xyz"}]},
    {"CapAdd": ["FLY"]},
    {"SecurityOpt": ["what=ever"]},
    {"SecurityOpt": ["seccomp={not json"]},
    {"Ulimits": [{"Name": "beer", "Soft": 1, "Hard": 1}]},
    {"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 1}]},
    {"Sysctls": {"kernel.panic": "1"}},
    {"Sysctls": {"net.no.such": "1"}},
    {"NetworkMode": "container:"},
    {"NetworkMode": "container:nobody"},
    {"PidMode": "container:nobody"},
    {"IpcMode": "what"},
    {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}},
    {"PortBindings": {"80/xyz": [{"HostPort": "80"}]}},
    {"PortBindings": {"80/tcp": [{"HostIp": "no-ip", "HostPort": "80"}]}},
    {"RestartPolicy": {"Name": "sometimes"}},
    {"RestartPolicy": {"Name": "always"}, "AutoRemove": True},
    {"LogConfig": {"Type": "carrier-pigeon"}},
    {"ShmSize": -1},
    {"OomScoreAdj": 5000},
    {"ExtraHosts": ["nonsense"]},
    {"Dns": ["no-ip"]},
    {"VolumesFrom": ["nobody"]},
    {"CgroupParent": "../../escape"},
    {"Runtime": "other"},
    {"UTSMode": "what"},
    {"UsernsMode": "what"},
    {"GroupAdd": ["no-such-group"]},
    {"StorageOpt": {"size": "1g"}},
]


def _ids(value: Any) -> str:
    return json.dumps(value)[:50].replace("\\u0000", "NUL")


@pytest.mark.parametrize("change", [*NONSENSE, *({"HostConfig": row} for row in HOST_NONSENSE)], ids=_ids)
def test_nonsense_is_answered_with_a_sentence(api: Api, name: str, change: dict[str, Any]) -> None:
    body: dict[str, Any] = {"Image": IMAGE, "Cmd": ["true"], **change}
    body.setdefault("HostConfig", {}).setdefault("NetworkMode", "none")
    status, answer = api("POST", f"/containers/create?name={name}", body)
    if status == 201:
        # Docker, too, tells some of it only at the start; a few things are forgiven.
        status, answer = api("POST", f"/containers/{name}/start")
        if status == 204:
            return
    assert status in (400, 404, 409, 500, 501), answer
    message = answer["message"]
    assert len(message) > 10 and "\n" not in message
    for word in ("internal error", "Traceback", "Error(", "Errno"):
        assert word not in message
    # Nothing half-made stays: the name is free, or the container is there and can be removed.
    status, _ = api("DELETE", f"/containers/{name}?force=1")
    assert status in (204, 404)


def test_one_of_many_gets_the_name(api: Api, name: str) -> None:
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    assert api.together(8, "POST", f"/containers/create?name={name}", body) == [201] + [409] * 7
    assert api.together(8, "POST", f"/containers/{name}/start") == [204] + [304] * 7
    statuses = api.together(8, "DELETE", f"/containers/{name}?force=1")
    assert statuses.count(204) >= 1 and set(statuses) <= {204, 404, 409}
    assert api("GET", f"/containers/{name}/json")[0] == 404


def test_two_cannot_have_a_port(api: Api, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    body = {
        "Image": IMAGE,
        "Cmd": ["sleep", "1000"],
        "StopSignal": "KILL",
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}},
    }
    second = f"{name}b"
    try:
        for each in (name, second):
            assert api("POST", f"/containers/create?name={each}", body)[0] == 201
        assert api("POST", f"/containers/{name}/start")[0] == 204
        status, answer = api("POST", f"/containers/{second}/start")
        assert status in (409, 500) and port in answer["message"]
        assert api("DELETE", f"/containers/{name}?force=1")[0] == 204
        assert api("POST", f"/containers/{second}/start")[0] == 204
    finally:
        api("DELETE", f"/containers/{second}?force=1")
