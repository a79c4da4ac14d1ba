"""corten registry user revoke: fewer permissions."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user revoke [OPTIONS] NAME|anonymous ACTIONS:PATTERN|PATTERN..."
DETAIL = """\
Takes back what was granted with the same pattern: some actions, or all of them."""
EXAMPLES = (
    "corten registry user revoke alice 'push:team/**'",
    "corten registry user revoke anonymous 'public/**'",
)
ARGS = (2, None)
OPTIONS = (*PLACE_OPTIONS,)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "revoke", arguments)
