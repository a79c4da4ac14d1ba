"""corten network create: a network."""

from __future__ import annotations

from corten.cli.container_request import pairs
from corten.cli.session import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten network create [OPTIONS] NETWORK"
EXAMPLES = ("corten network create --subnet 10.9.0.0/24 backend",)
ARGS = (1, 1)
OPTIONS = (
    ("attachable", "", "bool", "", "Accepted; every network can be attached to"),
    ("driver", "d", "str", "DRIVER", "Driver (default bridge)"),
    ("gateway", "", "list", "ADDRESS", "Gateway of a subnet"),
    ("internal", "", "bool", "", "No way out of it"),
    ("ip-range", "", "list", "RANGE", "Part of the subnet to take addresses from"),
    ("ipv6", "", "bool", "", "IPv6 addresses too"),
    ("label", "", "list", "KEY=VALUE", "Set a label"),
    ("opt", "o", "list", "KEY=VALUE", "Option of the driver"),
    ("subnet", "", "list", "SUBNET", "Subnet, as in 10.9.0.0/24"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    body: dict[str, Json] = {
        "Name": arguments.rest[0],
        "Driver": arguments.text("driver", "bridge"),
        "Internal": arguments.on("internal"),
        "Attachable": arguments.on("attachable"),
        "EnableIPv6": arguments.on("ipv6"),
        "Labels": pairs(arguments.many("label")),
        "Options": pairs(arguments.many("opt")),
    }
    pools = []
    gateways, ranges = arguments.many("gateway"), arguments.many("ip-range")
    for number, subnet in enumerate(arguments.many("subnet")):
        pool = {"Subnet": subnet}
        if number < len(gateways):
            pool["Gateway"] = gateways[number]
        if number < len(ranges):
            pool["IPRange"] = ranges[number]
        pools.append(pool)
    body["IPAM"] = {"Driver": "default", "Config": pools}
    answer = session.post("/networks/create", json=body)
    if answer.get("Warning"):
        warn(answer["Warning"])
    print(answer["Id"])
    return 0
