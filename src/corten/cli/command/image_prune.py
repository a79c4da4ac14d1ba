"""corten image prune: remove images that nothing uses."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten image prune [OPTIONS]"
EXAMPLES = ("corten image prune -a -f",)
ARGS = (0, 0)
OPTIONS = (
    ("all", "a", "bool", "", "Named images without a container too, not only nameless ones"),
    pruning.FILTER,
    pruning.FORCE,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    everything = arguments.on("all")
    what = (
        "all images without at least one container associated to them."
        if everything
        else "all dangling images."
    )
    if confirm(f"This will remove {what}", arguments.on("force")):
        filters = [*arguments.many("filter"), f"dangling={'false' if everything else 'true'}"]
        pruning.total(pruning.prune(session, "images", filters))
    return 0
