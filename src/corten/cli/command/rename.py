"""corten rename: another name for a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten rename CONTAINER NAME"
EXAMPLES = ("corten rename web old-web",)
ARGS = (2, 2)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    old, new = arguments.rest
    session.post(f"/containers/{old}/rename", {"name": new})
    return 0
