"""corten registry user list: users and their permissions."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user list [OPTIONS]"
EXAMPLES = ("corten registry user list",)
ARGS = (0, 0)
OPTIONS = (
    *PLACE_OPTIONS,
    ("format", "", "str", "table|json", "How to print the list"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "list", arguments)
