"""corten images: list images."""

from __future__ import annotations

from corten.cli import listing, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten images [OPTIONS] [REPOSITORY[:TAG]]"
EXAMPLES = ("corten images", "corten images --format '{{.Repository}}:{{.Tag}} {{.Size}}' busybox")
ARGS = (0, 1)
OPTIONS = (
    ("all", "a", "bool", "", "Intermediate images too"),
    ("digests", "", "bool", "", "Show digests"),
    ("filter", "f", "list", "KEY=VALUE", "Only some: dangling, label, before, since, reference, until"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("no-trunc", "", "bool", "", "Do not shorten ids"),
    ("quiet", "q", "bool", "", "Only ids"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    filters = arguments.many("filter") + [f"reference={name}" for name in arguments.rest]
    query = listing.filters(filters)
    if arguments.on("all"):
        query["all"] = "1"
    style = arguments.text("format")
    digests = arguments.on("digests") or ".Digest" in style
    items = [
        row
        for item in session.get("/images/json", query)
        for row in rows.images(item, arguments.on("no-trunc"), digests)
    ]
    columns = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
    if not arguments.on("digests"):
        columns.remove("Digest")
    quiet = "ID" if arguments.on("quiet") else ""
    listing.show(items, headers=rows.IMAGE_HEADERS, columns=columns, style=style, quiet=quiet)
    return 0
