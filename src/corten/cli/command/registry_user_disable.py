"""corten registry user disable: keeps users from signing in."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user disable [OPTIONS] NAME..."
DETAIL = """\
Their sign-ins and tokens end within seconds; permissions and passwords are kept."""
EXAMPLES = ("corten registry user disable alice",)
ARGS = (1, None)
OPTIONS = (*PLACE_OPTIONS,)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "disable", arguments)
