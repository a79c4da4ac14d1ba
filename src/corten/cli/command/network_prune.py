"""corten network prune: remove networks that no container uses."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten network prune [OPTIONS]"
EXAMPLES = ("corten network prune -f",)
ARGS = (0, 0)
OPTIONS = (
    pruning.FILTER,
    pruning.FORCE,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    question = "This will remove all custom networks not used by at least one container."
    if confirm(question, arguments.on("force")):
        pruning.prune(session, "networks", arguments.many("filter"))
    return 0
