"""corten registry user passwd: another password."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user passwd [OPTIONS] NAME"
DETAIL = """\
The user's sign-ins and tokens end."""
EXAMPLES = ("corten registry user passwd alice",)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("password-stdin", "", "bool", "", "Read the password from stdin, instead of asking for it"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "passwd", arguments)
