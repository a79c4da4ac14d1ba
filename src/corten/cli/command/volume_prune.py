"""corten volume prune: remove volumes that no container uses."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten volume prune [OPTIONS]"
EXAMPLES = ("corten volume prune -a -f",)
ARGS = (0, 0)
OPTIONS = (
    ("all", "a", "bool", "", "Named volumes too, not only anonymous ones"),
    pruning.FILTER,
    pruning.FORCE,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    everything = arguments.on("all")
    what = "all" if everything else "anonymous"
    question = f"This will remove {what} local volumes not used by at least one container."
    if confirm(question, arguments.on("force")):
        filters = [*arguments.many("filter"), *(["all=true"] if everything else [])]
        pruning.total(pruning.prune(session, "volumes", filters))
    return 0
