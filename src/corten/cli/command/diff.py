"""corten diff: what a container changed in its file system."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten diff CONTAINER"
DETAIL = "A is an added path, C a changed and D a deleted one."
EXAMPLES = ("corten diff web",)
ARGS = (1, 1)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    for change in session.get(f"/containers/{arguments.rest[0]}/changes") or ():
        print("CAD"[change["Kind"]], change["Path"])
    return 0
