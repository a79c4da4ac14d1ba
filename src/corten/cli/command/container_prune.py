"""corten container prune: remove all stopped containers."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten container prune [OPTIONS]"
EXAMPLES = ("corten container prune --filter until=24h",)
ARGS = (0, 0)
OPTIONS = (
    pruning.FILTER,
    pruning.FORCE,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    if confirm("This will remove all stopped containers.", arguments.on("force")):
        pruning.total(pruning.prune(session, "containers", arguments.many("filter")))
    return 0
