"""corten unpause: thaw paused containers."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten unpause CONTAINER [CONTAINER...]"
EXAMPLES = ("corten unpause web",)
ARGS = (1, None)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return each(arguments.rest, lambda name: session.post(f"/containers/{name}/unpause"))
