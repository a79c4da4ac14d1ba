"""corten network ls: list networks."""

from __future__ import annotations

from corten.cli import listing, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten network ls [OPTIONS]"
EXAMPLES = ("corten network ls --filter driver=bridge",)
ARGS = (0, 0)
OPTIONS = (
    ("filter", "f", "list", "KEY=VALUE", "Only some: driver, id, label, name, scope, type"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("no-trunc", "", "bool", "", "Do not shorten ids"),
    ("quiet", "q", "bool", "", "Only ids"),
)
HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    items = session.get("/networks", listing.filters(arguments.many("filter"))) or []
    items.sort(key=lambda item: item["Name"])
    listing.show(
        [rows.network(item, arguments.on("no-trunc")) for item in items],
        headers=HEADERS,
        columns=("ID", "Name", "Driver", "Scope"),
        style=arguments.text("format"),
        quiet="ID" if arguments.on("quiet") else "",
    )
    return 0
