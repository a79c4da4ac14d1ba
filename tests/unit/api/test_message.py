"""Decoding of requests: Docker's names, Go's leniency for null, errors that name the field."""

from __future__ import annotations

import json

import msgspec
import pytest

from corten.api.container import ContainerCreate, ContainerState
from corten.api.event import Event, EventActor
from corten.api.exec import ExecCreate
from corten.api.host_config import HostConfig, ThrottleDevice
from corten.api.message import decode, encode
from corten.errors import InvalidArgument


def test_what_docker_run_sends() -> None:
    body = {
        "Hostname": "",
        "Cmd": ["true"],
        "Entrypoint": None,
        "Env": None,
        "Volumes": {},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
        "Unknown": {"x": 1},
        "HostConfig": {
            "Binds": None,
            "Memory": 1 << 25,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": None},
            "BlkioDeviceReadIOps": [{"Path": "/dev/vda", "Rate": 5}],
            "MaskedPaths": [],
            "UTSMode": "host",
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
            "MemorySwappiness": -1,
        },
        "NetworkingConfig": {"EndpointsConfig": {"bridge": None}},
    }
    request = decode(json.dumps(body).encode(), ContainerCreate)
    host = request.host_config
    assert request.cmd == ["true"] and request.entrypoint is None and request.env is None
    assert request.exposed_ports == {"80/tcp": {}}
    assert host.memory == 1 << 25 and host.binds == [] and host.uts_mode == "host"
    assert host.port_bindings["81/tcp"] is None
    assert (bindings := host.port_bindings["80/tcp"]) and bindings[0].host_port == "8080"
    assert host.blkio_device_read_iops == [ThrottleDevice(path="/dev/vda", rate=5)]
    assert host.masked_paths == [] and host.readonly_paths is None
    assert host.ulimits[0].hard == 2
    assert request.networking_config.endpoints_config == {"bridge": None}


def test_a_command_may_be_a_string() -> None:
    assert decode(b'{"Cmd": "ls -l", "Entrypoint": ""}', ContainerCreate).cmd == ["ls -l"]
    assert decode(b'{"Cmd": "ls"}', ExecCreate).cmd == ["ls"]


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert decode(body, ExecCreate) == ExecCreate()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"HostConfig": {"Memory": "1g"}}', "HostConfig.Memory"),
        (b'{"Env": "A=1"}', "Env"),
        (b'{"HostConfig": {"Ulimits": [{"Soft": 1}]}}', "HostConfig.Ulimits"),
        (b'{"Labels": {"a": 1}}', "Labels"),
        (b'{"Tty": 1}', "Tty"),
        (b'{"Tty": true', "JSON"),
        (b'{"HostConfig": {"Binds": ["/a", "/b\\u0000:/c"]}}', r"HostConfig.Binds\[1\] has a NUL"),
        (b'{"Labels": {"a\\u0000": "b"}}', "Labels has a NUL"),
        (b"[]", "object"),
        (b"\xff\xfe", "JSON"),
    ],
)
def test_a_wrong_type_is_named(body: bytes, word: str) -> None:
    with pytest.raises(InvalidArgument, match=word):
        decode(body, ContainerCreate)


def test_a_backslash_is_no_nul() -> None:
    assert decode(rb'{"Labels": {"a": "\\u0000"}}', ContainerCreate).labels == {"a": "\\u0000"}


def test_what_was_not_measured_is_absent() -> None:
    state = json.loads(encode(ContainerState(status="exited", oom_killed=True)))
    assert state["OOMKilled"] is True and "Health" not in state and state["ExitCode"] == 0


def test_the_names_of_an_event() -> None:
    event = Event(type="container", action="start", actor=EventActor(id="abc"), time=1, time_nano=10**9)
    assert json.loads(encode(event)) == {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "abc", "Attributes": {}},
        "scope": "local",
        "time": 1,
        "timeNano": 10**9,
    }


def test_host_config_survives_a_round_trip() -> None:
    host = HostConfig(
        memory=5, blkio_device_write_iops=[ThrottleDevice(path="/dev/x", rate=1)], volatile=True
    )
    assert msgspec.json.decode(encode(host), type=HostConfig) == host


def _fields(type_: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(type_)]


@pytest.mark.parametrize("name", _fields(ContainerCreate))
def test_every_field_of_a_creation_is_typed(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid request body: {name}"):
        decode(json.dumps({name: 1.5}).encode(), ContainerCreate)


@pytest.mark.parametrize("name", _fields(HostConfig))
def test_every_field_of_a_host_config_is_typed(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid request body: HostConfig.{name}"):
        decode(json.dumps({"HostConfig": {name: 1.5}}).encode(), ContainerCreate)
    assert decode(json.dumps({"HostConfig": {name: None}}).encode(), ContainerCreate) == ContainerCreate()
