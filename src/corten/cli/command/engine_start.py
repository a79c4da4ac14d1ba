"""corten engine start: the engine in the background."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten engine start"
DETAIL = "Every command that needs the engine starts it; this one does nothing else."
EXAMPLES = ("corten engine start",)
ARGS = (0, 0)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    session.transport.request("GET", "/_ping").read()
    print(f"the engine listens at {session.transport.address}")
    return 0
