"""corten pause: freeze every process of containers."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten pause CONTAINER [CONTAINER...]"
EXAMPLES = ("corten pause web",)
ARGS = (1, None)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return each(arguments.rest, lambda name: session.post(f"/containers/{name}/pause"))
