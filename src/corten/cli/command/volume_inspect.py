"""corten volume inspect: everything about volumes."""

from __future__ import annotations

from corten.cli import inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten volume inspect [OPTIONS] VOLUME [VOLUME...]"
EXAMPLES = ("corten volume inspect -f '{{.Mountpoint}}' data",)
ARGS = (1, None)
OPTIONS = (inspection.FORMAT,)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    return inspection.inspect(session, arguments.rest, ["volume"], arguments.text("format"))
