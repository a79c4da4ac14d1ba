"""corten container inspect: everything about containers."""

from __future__ import annotations

from corten.cli import inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten container inspect [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = ("corten container inspect -f '{{.State.Status}}' web",)
ARGS = (1, None)
OPTIONS = (inspection.FORMAT, inspection.SIZE)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return inspection.inspect(
        session, arguments.rest, ["container"], arguments.text("format"), size=arguments.on("size")
    )
