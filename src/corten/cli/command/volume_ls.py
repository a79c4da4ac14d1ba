"""corten volume ls: list volumes."""

from __future__ import annotations

from corten.cli import listing, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten volume ls [OPTIONS]"
EXAMPLES = ("corten volume ls --filter dangling=true",)
ARGS = (0, 0)
OPTIONS = (
    ("filter", "f", "list", "KEY=VALUE", "Only some: dangling, driver, label, name"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("quiet", "q", "bool", "", "Only names"),
)
HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    answer = session.get("/volumes", listing.filters(arguments.many("filter")))
    for warning in answer.get("Warnings") or ():
        from corten.cli.session import warn

        warn(warning)
    items = sorted(answer.get("Volumes") or (), key=lambda item: str(item["Name"]))
    listing.show(
        [rows.volume(item) for item in items],
        headers=HEADERS,
        columns=("Driver", "Name"),
        style=arguments.text("format"),
        quiet="Name" if arguments.on("quiet") else "",
    )
    return 0
