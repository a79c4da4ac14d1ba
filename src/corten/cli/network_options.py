"""`--network` and what belongs to it, as the API's NetworkMode and endpoint settings."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.client.jsontext import Json


def apply(
    arguments: Arguments,
    networks: list[str],
    aliases: list[str],
    body: dict[str, Json],
    host: dict[str, Json],
) -> None:
    """Fills NetworkMode and NetworkingConfig. The plain options belong to the first network."""
    endpoints: dict[str, Json] = {}
    for number, text in enumerate(networks or ["default"]):
        name, endpoint = parse_network(text)
        if number == 0:
            host["NetworkMode"] = name
            _plain_options(arguments, aliases, endpoint, name)
        if endpoint or number or len(networks) > 1:
            endpoints[name] = endpoint
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}


def _plain_options(arguments: Arguments, aliases: list[str], endpoint: dict[str, Json], name: str) -> None:
    if aliases:
        endpoint["Aliases"] = endpoint.get("Aliases", []) + aliases
    addresses = {
        field: arguments.text(option)
        for option, field in (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
        if arguments.has(option)
    }
    if arguments.has("link-local-ip"):
        addresses["LinkLocalIPs"] = arguments.many("link-local-ip")  # type: ignore[assignment]
    if addresses:
        endpoint["IPAMConfig"] = {**endpoint.get("IPAMConfig", {}), **addresses}
    if endpoint and arguments.has("mac-address"):
        endpoint["MacAddress"] = arguments.text("mac-address")
    if endpoint and (name in ("none", "host") or name.startswith("container:")):
        raise InvalidArgument(f"a container on the network {name!r} has no address or alias of its own")


def parse_network(text: str) -> tuple[str, dict[str, Json]]:
    """`NAME`, or `name=NAME,alias=A,ip=...,mac-address=...,driver-opt=K=V,gw-priority=N`."""
    if "=" not in text:
        return text, {}
    name = ""
    endpoint: dict[str, Json] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidArgument(f"invalid --network {text!r}: {part!r} is not KEY=VALUE")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            field = "IPv4Address" if key == "ip" else "IPv6Address"
            endpoint.setdefault("IPAMConfig", {})[field] = value
        elif key == "link-local-ip":
            endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "driver-opt":
            option, _, setting = value.partition("=")
            endpoint.setdefault("DriverOpts", {})[option] = setting
        elif key == "gw-priority" and value.lstrip("-").isdigit():
            endpoint["GwPriority"] = int(value)
        else:
            raise InvalidArgument(f"invalid --network {text!r}: {key!r} is not an option of a network")
    if not name:
        raise InvalidArgument(f"invalid --network {text!r}: it has no name=")
    return name, endpoint
