"""corten image inspect: everything about images."""

from __future__ import annotations

from corten.cli import inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten image inspect [OPTIONS] IMAGE [IMAGE...]"
EXAMPLES = ("corten image inspect -f '{{.Os}}/{{.Architecture}}' busybox",)
ARGS = (1, None)
OPTIONS = (inspection.FORMAT,)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return inspection.inspect(session, arguments.rest, ["image"], arguments.text("format"))
