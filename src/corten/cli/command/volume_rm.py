"""corten volume rm: remove volumes."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten volume rm [OPTIONS] VOLUME [VOLUME...]"
EXAMPLES = ("corten volume rm data",)
ARGS = (1, None)
OPTIONS = (("force", "f", "bool", "", "Do not mind one that does not exist"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {"force": "1"} if arguments.on("force") else {}
    return each(arguments.rest, lambda name: session.delete(f"/volumes/{name}", query))
