"""corten network connect: a container joins a network."""

from __future__ import annotations

from corten.cli.container_request import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten network connect [OPTIONS] NETWORK CONTAINER"
EXAMPLES = ("corten network connect --alias db backend postgres",)
ARGS = (2, 2)
OPTIONS = (
    ("alias", "", "list", "NAME", "Another name of it on the network"),
    ("driver-opt", "", "list", "KEY=VALUE", "Option of the driver"),
    ("ip", "", "str", "ADDRESS", "IPv4 address"),
    ("ip6", "", "str", "ADDRESS", "IPv6 address"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    network, container = arguments.rest
    endpoint: dict[str, Json] = {}
    if aliases := arguments.many("alias"):
        endpoint["Aliases"] = aliases
    if options := arguments.many("driver-opt"):
        endpoint["DriverOpts"] = pairs(options)
    addresses = {
        field: arguments.text(option)
        for option, field in (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
        if arguments.has(option)
    }
    if addresses:
        endpoint["IPAMConfig"] = addresses
    session.post(f"/networks/{network}/connect", json={"Container": container, "EndpointConfig": endpoint})
    return 0
