"""corten system prune: remove everything that nothing uses."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten system prune [OPTIONS]"
EXAMPLES = ("corten system prune -f --volumes",)
ARGS = (0, 0)
OPTIONS = (
    ("all", "a", "bool", "", "Named images without a container too"),
    ("volumes", "", "bool", "", "Anonymous volumes too"),
    pruning.FILTER,
    pruning.FORCE,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    everything, volumes = arguments.on("all"), arguments.on("volumes")
    lines = ["  - all stopped containers", "  - all networks not used by at least one container"]
    if volumes:
        lines.append("  - all anonymous volumes not used by at least one container")
    lines.append(
        "  - all images without at least one container associated to them"
        if everything
        else "  - all dangling images"
    )
    if not confirm("This will remove:\\n" + "\\n".join(lines) + "\\n", arguments.on("force")):
        return 0
    filters = arguments.many("filter")
    size = pruning.prune(session, "containers", filters)
    size += pruning.prune(session, "networks", filters)
    if volumes:
        size += pruning.prune(session, "volumes", [item for item in filters if not item.startswith("until")])
    size += pruning.prune(session, "images", [*filters, f"dangling={'false' if everything else 'true'}"])
    pruning.total(size)
    return 0
