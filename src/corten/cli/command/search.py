"""corten search: repositories of a registry, by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten search [OPTIONS] TERM"
DETAIL = "Docker Hub is searched, unless the term begins with a registry's name."
EXAMPLES = ("corten search --filter is-official=true nginx", "corten search localhost:5000/app")
ARGS = (1, 1)
OPTIONS = (
    ("filter", "f", "list", "KEY=VALUE", "Only what matches: stars=N, is-official=true"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("limit", "", "int", "N", "At most so many (25)"),
    ("no-trunc", "", "bool", "", "Whole descriptions"),
)
HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import listing
    from corten.client import credentials

    term = arguments.rest[0]
    query = {"term": term, **listing.filters(arguments.many("filter"))}
    if arguments.has("limit"):
        query["limit"] = str(arguments.number("limit"))
    headers = {credentials.HEADER: credentials.header_for(term)}
    found: Json = session.transport.request("GET", "/images/search", query=query, headers=headers).json()
    found.sort(key=lambda item: -int(item.get("star_count", 0)))
    listing.show(
        [_row(item, arguments.on("no-trunc")) for item in found],
        headers=HEADERS,
        columns=("Name", "Description", "StarCount", "IsOfficial"),
        style=arguments.text("format"),
    )
    return 0


def _row(item: Json, whole: bool) -> Row:
    description = " ".join(str(item.get("description") or "").split())
    if not whole and len(description) > 45:
        description = f"{description[:44]}…"
    return {
        "Name": str(item["name"]),
        "Description": description,
        "StarCount": str(item.get("star_count", 0)),
        "IsOfficial": "[OK]" if item.get("is_official") else "",
        "IsAutomated": "[OK]" if item.get("is_automated") else "",
    }
