"""corten ps: list containers."""

from __future__ import annotations

from corten.cli import listing, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten ps [OPTIONS]"
EXAMPLES = (
    "corten ps -a",
    "corten ps -q --filter status=exited --filter label=stage=test",
    "corten ps --format 'table {{.Names}}\\t{{.Status}}\\t{{.Ports}}'",
)
ARGS = (0, 0)
OPTIONS = (
    ("all", "a", "bool", "", "Stopped containers too"),
    ("filter", "f", "list", "KEY=VALUE", "Only some: status, name, id, label, ancestor, volume, network, …"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("last", "n", "int", "N", "Only the last N created, whatever their state"),
    ("latest", "l", "bool", "", "Only the last created"),
    ("no-trunc", "", "bool", "", "Do not shorten ids and commands"),
    ("quiet", "q", "bool", "", "Only ids"),
    ("size", "s", "bool", "", "Sizes of the writable layers"),
)
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    style = arguments.text("format")
    query = listing.filters(arguments.many("filter"))
    if arguments.on("all"):
        query["all"] = "1"
    limit = 1 if arguments.on("latest") else arguments.number("last", -1)
    if limit > 0:
        query["limit"] = str(limit)
    size = arguments.on("size") or ".Size" in style
    if size:
        query["size"] = "1"
    whole = arguments.on("no-trunc")
    items = [rows.container(item, whole) for item in session.get("/containers/json", query)]
    columns = (*COLUMNS, "Size") if size else COLUMNS
    listing.show(
        items,
        headers=rows.CONTAINER_HEADERS,
        columns=columns,
        style=style,
        quiet="ID" if arguments.on("quiet") else "",
    )
    return 0
