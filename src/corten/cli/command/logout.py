"""corten logout: forget what a login stored."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten logout [REGISTRY]"
EXAMPLES = ("corten logout registry.example:5000",)
ARGS = (0, 1)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.client import credentials

    server = credentials.server_of(arguments.rest[0] if arguments.rest else "")
    if credentials.erase(server):
        print(f"Removing login credentials for {server}")
    else:
        print(f"Not logged in to {server}")
    return 0
