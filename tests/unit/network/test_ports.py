"""Docker's port grammar."""

import pytest

from corten.errors import InvalidArgument
from corten.network.model import PortBinding
from corten.network.ports import (
    bindings_of,
    container_port,
    parse_expose,
    parse_publish,
    port_map,
    publish_all,
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("80", [PortBinding("tcp", 80)]),
        ("80/udp", [PortBinding("udp", 80)]),
        ("8080:80", [PortBinding("tcp", 80, "", 8080)]),
        ("127.0.0.1:8080:80", [PortBinding("tcp", 80, "127.0.0.1", 8080)]),
        ("127.0.0.1::80", [PortBinding("tcp", 80, "127.0.0.1")]),
        ("[::1]:8080:80/TCP", [PortBinding("tcp", 80, "::1", 8080)]),
        ("[::1]::80", [PortBinding("tcp", 80, "::1")]),
        ("8000-8001:80-81", [PortBinding("tcp", 80, "", 8000), PortBinding("tcp", 81, "", 8001)]),
        ("8000-8009:80", [PortBinding("tcp", 80, "", 8000, 8009)]),
        ("80-81", [PortBinding("tcp", 80), PortBinding("tcp", 81)]),
    ],
)
def test_publish(spec: str, expected: list[PortBinding]) -> None:
    assert parse_publish(spec) == expected


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "a",
        "80:",
        "0:80",
        "70000",
        "80:90000",
        "8000-8001:80-82",
        "9-8",
        "1.2.3:80:80",
        "80/icmp",
        "[::1:80",
    ],
)
def test_publish_refuses(spec: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_publish(spec)


def test_expose() -> None:
    assert parse_expose("80-81/udp") == ["80/udp", "81/udp"]
    assert parse_expose("80") == ["80/tcp"]
    with pytest.raises(InvalidArgument):
        parse_expose("8080:80")


def test_bindings_of_the_api() -> None:
    found = bindings_of({"80/tcp": [{"HostIp": "", "HostPort": "8000-8005"}], "53/udp": None})
    assert found == (PortBinding("tcp", 80, "", 8000, 8005), PortBinding("udp", 53))


def test_publish_all_leaves_bound_ports_alone() -> None:
    bound = (PortBinding("tcp", 80, "", 8080),)
    assert publish_all(["80/tcp", "81/tcp", "80/udp"], bound) == (
        PortBinding("udp", 80),
        PortBinding("tcp", 81),
    )


def test_port_map_is_dockers() -> None:
    bindings = (PortBinding("tcp", 80, "", 8080), PortBinding("tcp", 80, "127.0.0.1", 8081))
    assert port_map(bindings, ["81/tcp"]) == {
        "81/tcp": None,
        "80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"},
            {"HostIp": "127.0.0.1", "HostPort": "8081"},
        ],
    }


def test_container_port_needs_a_number() -> None:
    with pytest.raises(InvalidArgument):
        container_port("http/tcp")
