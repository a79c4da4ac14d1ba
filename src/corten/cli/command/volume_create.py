"""corten volume create: a volume."""

from __future__ import annotations

from corten.cli.container_request import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten volume create [OPTIONS] [VOLUME]"
EXAMPLES = (
    "corten volume create data",
    "corten volume create --label stage=test -o type=tmpfs -o device=tmpfs scratch",
)
ARGS = (0, 1)
OPTIONS = (
    ("driver", "d", "str", "DRIVER", "Volume driver (default local)"),
    ("label", "", "list", "KEY=VALUE", "Set a label"),
    ("name", "", "str", "NAME", "(hidden) the same as the argument"),
    ("opt", "o", "list", "KEY=VALUE", "Option of the driver"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    body: dict[str, Json] = {"Driver": arguments.text("driver", "local")}
    if name := (arguments.rest[0] if arguments.rest else arguments.text("name")):
        body["Name"] = name
    if labels := arguments.many("label"):
        body["Labels"] = pairs(labels)
    if options := arguments.many("opt"):
        body["DriverOpts"] = pairs(options)
    print(session.post("/volumes/create", json=body)["Name"])
    return 0
