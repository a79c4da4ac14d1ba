"""`-p`, `--expose`: published ports as the API's ExposedPorts and PortBindings."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.client.jsontext import Json

_PROTOCOLS = ("tcp", "udp", "sctp")


def apply(arguments: Arguments, body: dict[str, Json], host: dict[str, Json]) -> None:
    """Fills ExposedPorts and PortBindings."""
    exposed: dict[str, Json] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in arguments.many("publish"):
        for port, binding in parse_publish(text):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    for text in arguments.many("expose"):
        ports, protocol = _protocol(text, text)
        first, last = _range(ports, text)
        exposed.update((f"{port}/{protocol}", {}) for port in range(first, last + 1))
    body["ExposedPorts"] = exposed
    if bindings:
        host["PortBindings"] = bindings


def parse_publish(text: str) -> list[tuple[str, dict[str, str]]]:
    """`[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`, ranges, `[v6]`: (port/protocol, binding) for each port."""
    if "=" in text:
        return _long_form(text)
    rest, protocol = _protocol(text, text)
    address = ""
    if rest.startswith("["):
        address, _, rest = rest[1:].partition("]")
        rest = rest.removeprefix(":")
    parts = rest.split(":")
    if len(parts) > 3 or (address and len(parts) > 2):
        raise _invalid(text, "too many colons; an IPv6 address goes in brackets")
    if len(parts) == 3:
        address = parts.pop(0)
    container = parts.pop()
    wanted = parts[0] if parts else ""
    first, last = _range(container, text)
    if not wanted:
        return [
            (f"{port}/{protocol}", {"HostIp": address, "HostPort": ""}) for port in range(first, last + 1)
        ]
    low, high = _range(wanted, text)
    if first == last and low != high:  # any free one of a range
        return [(f"{first}/{protocol}", {"HostIp": address, "HostPort": f"{low}-{high}"})]
    if high - low != last - first:
        raise _invalid(text, "the two ranges are not of the same length")
    return [
        (f"{first + step}/{protocol}", {"HostIp": address, "HostPort": str(low + step)})
        for step in range(last - first + 1)
    ]


def _long_form(text: str) -> list[tuple[str, dict[str, str]]]:
    fields = {key: value for key, _, value in (part.partition("=") for part in text.split(","))}
    unknown = set(fields) - {"target", "published", "protocol", "mode"}
    if unknown:
        raise _invalid(text, f"{sorted(unknown)[0]!r} is not an option of a port")
    protocol = fields.get("protocol", "tcp")
    if protocol not in _PROTOCOLS:
        raise _invalid(text, f"{protocol!r} is not a protocol")
    port, _ = _range(fields.get("target", ""), text)
    return [(f"{port}/{protocol}", {"HostIp": "", "HostPort": fields.get("published", "")})]


def _protocol(text: str, whole: str) -> tuple[str, str]:
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise _invalid(whole, f"{protocol!r} is not a protocol: it is tcp, udp or sctp")
    return ports, protocol


def _range(text: str, whole: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    try:
        first = int(low)
        last = int(high) if dash else first
    except ValueError:
        raise _invalid(whole, f"{text!r} is not a port") from None
    if not 0 < first <= 65535 or not first <= last <= 65535:
        raise _invalid(whole, f"{text!r} is not a port between 1 and 65535")
    return first, last


def _invalid(text: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"invalid port {text!r}: {reason}")
