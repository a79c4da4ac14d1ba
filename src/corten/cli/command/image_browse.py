"""corten image browse: the files of an image, and the layer that each comes from."""

from __future__ import annotations

import stat
import sys

from corten.cli import listing
from corten.cli.quantity import human_size
from corten.cli.rows import ellipsis
from corten.errors import CortenError, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten image browse [OPTIONS] IMAGE [PATH]"
DETAIL = """\
Each line tells the layer that a file comes from (1 is the lowest), its mode, owner and size, and what it
hides in the layers below. Nothing is mounted and no container is made."""
EXAMPLES = (
    "corten image browse debian /etc",
    "corten image browse --layers debian",
    "corten image browse --deleted --format json app:1",
)
ARGS = (1, 2)
OPTIONS = (
    ("deleted", "d", "bool", "", "Also what upper layers delete"),
    ("format", "", "str", "json", "Only 'json': one object a line, for programs"),
    ("layers", "l", "bool", "", "One line for each layer: what it holds, and how much of it is hidden"),
)
HEADERS = {
    "Number": "LAYER",
    "Digest": "DIGEST",
    "Size": "SIZE",
    "Files": "FILES",
    "Seen": "SEEN",
    "Hidden": "HIDDEN",
    "CreatedBy": "CREATED BY",
}
_KINDS = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "character device": stat.S_IFCHR,
    "block device": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    style, by_layer = arguments.text("format"), arguments.on("layers")
    if style not in ("", "json"):
        raise InvalidArgument(f"invalid format {style!r}: only json is known")
    image, *rest = arguments.rest
    query = {"path": rest[0] if rest else "/"}
    if by_layer or arguments.on("deleted"):
        query["deleted"] = "true"
    answer = session.transport.request("GET", f"/corten/images/{image}/browse", query=query)
    lines = iter(answer.json_stream())
    first: Json = next(lines, None)
    if not first or "layers" not in first:
        raise CortenError("the engine ended in the middle: try again")
    layers = first["layers"]
    entries = (line["entry"] for line in lines)
    if by_layer:
        _show_layers(layers, entries, style)
    elif style == "json":
        from corten.client import jsontext

        for entry in entries:
            print(jsontext.dumps(entry).decode())
    else:
        _show_tree(entries)
    return 0


def _show_tree(entries: Iterable[Json]) -> None:
    print("LAYER MODE       OWNER       SIZE     NAME")
    top = None
    for entry in entries:
        path = entry["path"]
        if top is None:
            top = path.rstrip("/")
        depth = path[len(top) :].count("/") if path != "/" else 0
        name = path if not depth else "  " * depth + path.rpartition("/")[2]
        if entry["target"]:
            name += f" -> {entry['target']}"
        print(_columns(entry) + _printable(name) + _shadows(entry))


def _columns(entry: Json) -> str:
    if entry["type"] == "deleted":
        return f"{entry['layer']:>5} {'deleted':<10} {'':<11} {'':<8} "
    mode = stat.filemode(_KINDS.get(entry["type"], 0) | entry["mode"])
    size = human_size(entry["size"], 3) if entry["type"] == "file" else ""
    return (
        f"{entry['layer']:>5} {mode} {entry['uid']}:{entry['gid']:<{10 - len(str(entry['uid']))}} {size:<8} "
    )


def _shadows(entry: Json) -> str:
    if not entry["shadows"]:
        return ""
    parts = []
    for hidden in entry["shadows"]:
        size = f", {human_size(hidden['size'], 3)}" if hidden["type"] == "file" else ""
        parts.append(f"{hidden['type']} in layer {hidden['layer']}{size}")
    return f"  (hides {'; '.join(parts)})"


def _printable(name: str) -> str:
    """Names come from a stranger: what a terminal would obey is escaped."""
    if name.isprintable():
        return name
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def _show_layers(layers: Json, entries: Iterable[Json], style: str) -> None:
    files: dict[int, int] = {}
    seen: dict[int, int] = {}
    hidden: dict[int, int] = {}
    for entry in entries:
        number = entry["layer"]
        if entry["type"] != "deleted":
            files[number] = files.get(number, 0) + 1
            seen[number] = seen.get(number, 0) + entry["size"]
        for below in entry["shadows"]:
            hidden[below["layer"]] = hidden.get(below["layer"], 0) + below["size"]
    rows: list[Row] = [
        {
            "Number": str(layer["number"]),
            "Digest": layer["digest"][7:19],
            "Size": human_size(layer["size"], 3),
            "Files": str(files.get(layer["number"], 0)),
            "Seen": human_size(seen.get(layer["number"], 0), 3),
            "Hidden": human_size(hidden.get(layer["number"], 0), 3),
            "CreatedBy": ellipsis((layer["created_by"] or "").replace("\t", " "), 45),
        }
        for layer in layers
    ]
    listing.show(rows, headers=HEADERS, columns=tuple(HEADERS), style=style)
    sys.stdout.flush()
