"""corten registry user enable: lets disabled users sign in again."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user enable [OPTIONS] NAME..."
EXAMPLES = ("corten registry user enable alice",)
ARGS = (1, None)
OPTIONS = (*PLACE_OPTIONS,)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "enable", arguments)
