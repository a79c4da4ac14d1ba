"""corten history: the layers of an image."""

from __future__ import annotations

from corten.cli import listing
from corten.cli.quantity import ago, human_size
from corten.cli.rows import ellipsis, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten history [OPTIONS] IMAGE"
EXAMPLES = ("corten history debian", "corten history --no-trunc --format '{{.CreatedBy}}' debian")
ARGS = (1, 1)
OPTIONS = (
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("human", "H", "bool", "", "Sizes and dates for a person (default true)"),
    ("no-trunc", "", "bool", "", "Do not shorten ids and commands"),
    ("quiet", "q", "bool", "", "Only ids"),
)
HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    whole, human = arguments.on("no-trunc"), arguments.on("human", True)
    layers = session.get(f"/images/{arguments.rest[0]}/history")
    listing.show(
        [_row(layer, whole, human) for layer in layers],
        headers=HEADERS,
        columns=("ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"),
        style=arguments.text("format"),
        quiet="ID" if arguments.on("quiet") else "",
    )
    return 0


def _row(layer: Json, whole: bool, human: bool) -> Row:
    import time

    created_by = (layer.get("CreatedBy") or "").replace("\t", " ")
    identifier = layer["Id"]
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(layer["Created"]))
    return {
        "ID": identifier if identifier.startswith("<") else short(identifier, whole),
        "CreatedSince": ago(layer["Created"]),
        "CreatedAt": f"{moment[:-2]}:{moment[-2:]}",
        "CreatedBy": created_by if whole else ellipsis(created_by, 45),
        "Size": human_size(layer["Size"], 3) if human else str(layer["Size"]),
        "Comment": layer.get("Comment") or "",
    }
