"""corten builder history ls: the builds that have ended."""

from __future__ import annotations

from corten.cli.build_records import BUILDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten builder history ls [OPTIONS]"
EXAMPLES = ("corten builder history ls", "corten builder history ls --filter status=error --format json")
ARGS = (0, 0)
OPTIONS = (
    BUILDER,
    ("filter", "", "list", "KEY=VALUE", "Only some: status=completed|error|canceled, ref=; also status!="),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("no-trunc", "", "bool", "", "Do not shorten names"),
)
HEADERS = {
    "Ref": "BUILD ID",
    "Name": "NAME",
    "Status": "STATUS",
    "CreatedAt": "CREATED AT",
    "Duration": "DURATION",
}
_STATUSES = ("completed", "error", "canceled")
_NAME_WIDTH = 36


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import listing

    tests = [_parse(text) for text in arguments.many("filter")]
    records = [
        record
        for record in session.get("/corten/builds")
        if all((value in record[key]) == wanted for key, value, wanted in tests)
    ]
    style = arguments.text("format")
    if style == "json":
        from corten.cli.template import to_json

        for record in records:
            print(to_json(_fields(record)))
        return 0
    short = not arguments.on("no-trunc") and (not style or style.startswith("table"))
    listing.show(
        [_row(record, short) for record in records], headers=HEADERS, columns=tuple(HEADERS), style=style
    )
    return 0


def _row(record: Json, short: bool) -> Row:
    from corten.cli.build_records import duration
    from corten.cli.quantity import ago

    name = record["name"]
    if short and len(name) > _NAME_WIDTH:
        name = f"..{name[2 - _NAME_WIDTH :]}"
    return {
        "Ref": record["id"],
        "Name": name,
        "Status": record["status"].capitalize(),
        "CreatedAt": ago(record["started"] / 1e9),
        "Duration": duration(record),
    }


def _fields(record: Json) -> dict[str, Json]:
    """buildx's."""
    from corten.cli.build_rawjson import moment

    return {
        "cached_steps": record["cached_steps"],
        "completed_at": moment(record["completed"]),
        "completed_steps": record["completed_steps"],
        "created_at": moment(record["started"]),
        "name": record["name"],
        "ref": record["id"],
        "status": record["status"].capitalize(),
        "total_steps": record["total_steps"],
    }


def _parse(text: str) -> tuple[str, str, bool]:
    """Field, text in it, and whether it is to be there."""
    from corten.errors import InvalidArgument

    key, equals, value = text.partition("=")
    wanted = not key.endswith("!")
    key = key.removesuffix("!")
    if not equals or key not in ("status", "ref"):
        raise InvalidArgument(f"invalid filter {text!r}: it is status=VALUE, status!=VALUE or ref=VALUE")
    if key == "status" and value not in _STATUSES:
        raise InvalidArgument(f"invalid filter {text!r}: a status is {', '.join(_STATUSES)}")
    return ("id" if key == "ref" else key), value, wanted
