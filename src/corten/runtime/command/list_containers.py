"""`list`."""

from __future__ import annotations

import json
import pwd
import sys

from corten.errors import InvalidArgument
from corten.runtime.command.container import load_all
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    options = Options("list [--quiet] [--format table|json]", values={"format": "f"}, flags={"quiet": "q"})
    parsed = options.parse(arguments)
    containers = load_all(context.root)
    form = parsed.values.get("format", "table")
    if "quiet" in parsed.flags:
        sys.stdout.write("".join(container.record.id + "\n" for container in containers))
        return 0
    rows = []
    for container in containers:
        state, record = container.state(), container.record
        rows.append(
            {
                "ociVersion": state.oci_version,
                "id": state.id,
                "pid": state.pid,
                "status": state.status,
                "bundle": state.bundle,
                "rootfs": record.rootfs,
                "created": record.created,
                "owner": _owner(record.owner),
            }
        )
    if form == "json":
        sys.stdout.write(json.dumps(rows) + "\n")
        return 0
    if form != "table":
        raise InvalidArgument(f"there is no format {form!r}: use table or json")
    names = ("id", "pid", "status", "bundle", "created", "owner")
    table = [[name.upper() for name in names]] + [[str(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("   ".join(cells).rstrip() + "\n")
    return 0


def _owner(uid: str) -> str:
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError):
        return uid
