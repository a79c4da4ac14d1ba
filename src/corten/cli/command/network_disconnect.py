"""corten network disconnect: a container leaves a network."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten network disconnect [OPTIONS] NETWORK CONTAINER"
EXAMPLES = ("corten network disconnect backend postgres",)
ARGS = (2, 2)
OPTIONS = (("force", "f", "bool", "", "Also when the container is not there any more"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    network, container = arguments.rest
    body = {"Container": container, "Force": arguments.on("force")}
    session.post(f"/networks/{network}/disconnect", json=body)
    return 0
