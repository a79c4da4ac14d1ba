"""EXPOSE: ports, ranges of them, and protocols."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import msgspec

from corten.build.parser.quotation import quoted
from corten.errors import InvalidArgument

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_PROTOCOLS = ("tcp", "udp", "sctp")


class PortSpec(msgspec.Struct, frozen=True):
    """`[address:][host:]container[/protocol]`, as written."""

    address: str
    host: str
    container: str
    protocol: str


def parse_port(text: str) -> PortSpec:
    """The parts of a word of EXPOSE. Raises InvalidArgument for no port, or an unknown protocol."""
    *before, last = text.split(":")
    container, _, protocol = last.partition("/")
    if not container:
        raise InvalidArgument(f"invalid port: {quoted(text)}: no port specified")
    if protocol and protocol.lower() not in _PROTOCOLS:
        raise InvalidArgument(f"invalid port: {quoted(text)}: invalid proto: {protocol}")
    return PortSpec(":".join(before[:-1]), before[-1] if before else "", container, protocol or "tcp")


def exposed(spec: PortSpec) -> list[str]:
    """Each port with its protocol: `80/tcp`. Raises InvalidArgument."""
    _check_address(spec.address)
    first, last = _range(spec.container, f"invalid containerPort: {spec.container}")
    if spec.host:
        host_first, host_last = _range(spec.host, f"invalid hostPort: {spec.host}")
        if last - first not in (0, host_last - host_first):
            raise InvalidArgument(
                f"invalid ranges specified for container and host Ports: {spec.container} and {spec.host}"
            )
    protocol = spec.protocol.lower()
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _check_address(address: str) -> None:
    plain = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not plain:
        return
    try:
        ipaddress.ip_address(plain)
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {plain}") from None


def _range(text: str, problem: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    first = _number(start)
    last = _number(end) if dash and start != end else first
    if first is None or last is None or last < first:
        raise InvalidArgument(problem)
    return first, last


def _number(text: str) -> int | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if 0 <= number <= 65535 else None


Check = Callable[[PortSpec, str], None]
"""Is told each word before its ports are worked out."""


def exposed_ports(words: list[str], check: Check) -> list[str]:
    """The ports of all words of an EXPOSE, in order."""
    ports: list[str] = []
    for word in words:
        spec = parse_port(word)
        check(spec, word)
        ports += exposed(spec)
    return ports
