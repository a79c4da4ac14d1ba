"""corten network rm: remove networks."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten network rm NETWORK [NETWORK...]"
EXAMPLES = ("corten network rm backend",)
ARGS = (1, None)
OPTIONS = (("force", "f", "bool", "", "Do not mind one that does not exist"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return each(arguments.rest, lambda name: session.delete(f"/networks/{name}"))
