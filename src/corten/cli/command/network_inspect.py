"""corten network inspect: everything about networks."""

from __future__ import annotations

from corten.cli import inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten network inspect [OPTIONS] NETWORK [NETWORK...]"
EXAMPLES = ("corten network inspect bridge",)
ARGS = (1, None)
OPTIONS = (inspection.FORMAT,)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return inspection.inspect(session, arguments.rest, ["network"], arguments.text("format"))
