"""`pause` and `resume`."""

from __future__ import annotations

from corten.errors import Conflict
from corten.runtime.command.container import load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    parsed = Options(f"{context.verb} ID").parse(arguments, count=(1, 1))
    container = load(context.root, parsed.words[0])
    status, expected = container.status, "running" if context.verb == "pause" else "paused"
    if status != expected and not (expected == "running" and status == "created"):
        raise Conflict(
            f"cannot {context.verb} container {container.record.id}: it is {status}, not {expected}"
        )
    group = container.cgroup()
    if group is None:
        raise Conflict(f"cannot {context.verb} container {container.record.id}: it has no cgroup")
    if context.verb == "pause":
        group.freeze()
    else:
        group.thaw()
    return 0
