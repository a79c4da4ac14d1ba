"""corten manifest rm: lists that are not needed any more."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten manifest rm LIST [LIST...]"
EXAMPLES = ("corten manifest rm localhost:5000/app:1",)
ARGS = (1, None)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.client import manifests

    for name in arguments.rest:
        manifests.remove(name)
    return 0
