"""`events`: statistics of a container, once (--stats) or at intervals."""

from __future__ import annotations

import sys
import time

from corten.errors import Conflict, InvalidArgument
from corten.oci import struct
from corten.runtime.command.container import Container, load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    options = Options("events [--stats] [--interval 5s] ID", values={"interval": ""}, flags={"stats": ""})
    parsed = options.parse(arguments, count=(1, 1))
    container = load(context.root, parsed.words[0])
    if container.status == "stopped":
        raise Conflict(f"container {container.record.id} is not running")
    interval = _seconds(parsed.values.get("interval", "5s"))
    kills = _kills(container)
    while True:
        _print(container)
        if "stats" in parsed.flags:
            return 0
        time.sleep(interval)
        if container.status == "stopped":
            return 0
        if (found := _kills(container)) > kills:
            kills = found
            _line({"type": "oom", "id": container.record.id})


def _kills(container: Container) -> int:
    group = container.cgroup()
    return 0 if group is None else int(group.oom_count())


def _print(container: Container) -> None:
    group = container.cgroup()
    if group is None:
        raise Conflict(f"container {container.record.id} has no cgroup: there are no statistics")
    stats = struct.to_builtins(group.stats())
    _line({"type": "stats", "id": container.record.id, "data": stats})


def _line(document: object) -> None:
    sys.stdout.write(struct.encode(document).decode() + "\n")
    sys.stdout.flush()


def _seconds(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    number = text.rstrip("mhs")
    try:
        return float(number) * units[text[len(number) :] or "s"]
    except (ValueError, KeyError):
        raise InvalidArgument(f"{text!r} is no interval: write 500ms, 5s or 1m") from None
