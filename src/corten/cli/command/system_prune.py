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
    lines.append("  - unused build cache" if everything else "  - dangling build cache")
    if not confirm("This will remove:\n" + "\n".join(lines) + "\n", arguments.on("force")):
        return 0
    filters = arguments.many("filter")
    size = pruning.prune(session, "containers", filters)
    size += pruning.prune(session, "networks", filters)
    if volumes:
        size += pruning.prune(session, "volumes", [item for item in filters if not item.startswith("until")])
    size += pruning.prune(session, "images", [*filters, f"dangling={'false' if everything else 'true'}"])
    size += pruning.prune_builds(session, _build_query(everything, filters))
    pruning.total(size)
    return 0


def _build_query(everything: bool, filters: list[str]) -> dict[str, str]:
    """The cache knows no labels."""
    from corten.cli.listing import filters as encode

    query = encode([item for item in filters if item.startswith("until")])
    return {**query, "all": "1"} if everything else query
