"""Docker's port grammar: `-p`, `--expose`, and the maps of the API. Imports nothing heavy."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from corten.errors import InvalidArgument
from corten.network.model import PortBinding

PROTOCOLS = ("tcp", "udp")


def parse_publish(spec: str) -> list[PortBinding]:
    """``[[ip:][host[-end]]:]container[-end][/proto]`` as bindings; raises InvalidArgument with Docker's
    words.
    """
    address, host, container, protocol = _split(spec)
    if not container:
        raise InvalidArgument(f"invalid port specification {spec!r}: no port specified")
    first, last = parse_range(container, f"containerPort: {container}")
    if not host:
        return [PortBinding(protocol, port, address) for port in range(first, last + 1)]
    host_first, host_last = parse_range(host, f"hostPort: {host}")
    if last - first == host_last - host_first:
        return [
            PortBinding(protocol, port, address, host_first + port - first) for port in range(first, last + 1)
        ]
    if first != last:
        raise InvalidArgument(
            f"invalid ranges specified for container and host Ports: {container} and {host}"
        )
    return [PortBinding(protocol, first, address, host_first, host_last)]


def parse_expose(spec: str) -> list[str]:
    """``80``, ``80-90/udp`` as keys of ExposedPorts."""
    ports, _, protocol = spec.partition("/")
    if ":" in ports:
        raise InvalidArgument(f"invalid port format for --expose: {spec}")
    first, last = parse_range(ports, f"range format for --expose: {spec}")
    return [f"{port}/{_protocol(protocol, spec)}" for port in range(first, last + 1)]


def parse_range(text: str, what: str) -> tuple[int, int]:
    """``80`` or ``80-90``; raises InvalidArgument naming `what`."""
    first, dash, last = text.partition("-")
    low, high = _port(first, what), _port(last, what) if dash else _port(first, what)
    if high < low:
        raise InvalidArgument(f"invalid {what}: the range ends before it begins")
    return low, high


def bindings_of(port_bindings: Mapping[str, Sequence[Any] | None]) -> tuple[PortBinding, ...]:
    """HostConfig.PortBindings (values: dicts with HostIp, HostPort, or host_ip, host_port attributes).

    An empty or null list publishes at a random port, as Docker does.
    """
    found: list[PortBinding] = []
    for key, values in port_bindings.items():
        number, protocol = container_port(key)
        for value in values or ({},):
            if isinstance(value, Mapping):
                address, text = str(value.get("HostIp", "")), str(value.get("HostPort", ""))
            else:
                address, text = value.host_ip, value.host_port
            low, high = parse_range(text, f"hostPort: {text}") if text else (0, 0)
            found.append(
                PortBinding(protocol, number, _address(address, key), low, high if high != low else 0)
            )
    return tuple(found)


def container_port(key: str) -> tuple[int, str]:
    """``80/tcp`` (a key of Docker's port maps) as (80, "tcp")."""
    number, _, protocol = key.partition("/")
    return _port(number, f"containerPort: {number}"), _protocol(protocol, key)


def publish_all(exposed: Sequence[str], bound: Sequence[PortBinding]) -> tuple[PortBinding, ...]:
    """-P: a random host port for each exposed port that has no binding yet."""
    taken = {binding.key for binding in bound}
    wanted = [container_port(key) for key in exposed]
    return tuple(
        PortBinding(protocol, number)
        for number, protocol in sorted(wanted)
        if f"{number}/{protocol}" not in taken
    )


def port_map(
    bindings: Sequence[PortBinding], exposed: Sequence[str] = ()
) -> dict[str, list[dict[str, str]] | None]:
    """NetworkSettings.Ports: ``{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None}``."""
    found: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed)
    for binding in bindings:
        entries = found.get(binding.key) or []
        entries.append({"HostIp": binding.host_ip or "0.0.0.0", "HostPort": str(binding.host_port)})
        found[binding.key] = entries
    return found


def _split(spec: str) -> tuple[str, str, str, str]:
    """(host address, host port, container port, protocol)."""
    rest, _, protocol = spec.partition("/")
    address = ""
    if rest.startswith("["):
        address, closed, rest = rest[1:].partition("]")
        if not closed or not rest.startswith(":"):
            raise InvalidArgument(
                f"invalid port specification {spec!r}: an IPv6 address is written [address]:port"
            )
        rest = ":" + rest[1:] if rest.count(":") > 1 else rest + ":"
        _, host, container = rest.split(":", 2) if rest.count(":") == 2 else ("", "", "")
        if not container and host:
            host, container = "", host
    else:
        parts = rest.rsplit(":", 2)
        container = parts[-1]
        host = parts[-2] if len(parts) > 1 else ""
        address = parts[0] if len(parts) > 2 else ""
    return _address(address, spec), host, container, _protocol(protocol, spec)


def _address(text: str, spec: str) -> str:
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise InvalidArgument(f"invalid IP address {text!r} in the port specification {spec!r}") from None


def _protocol(text: str, spec: str) -> str:
    protocol = (text or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"invalid proto {text!r} in {spec!r}: tcp and udp can be published")
    return protocol


def _port(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 65535:
        raise InvalidArgument(f"invalid {what}: a port is a number from 1 to 65535")
    return int(text)
