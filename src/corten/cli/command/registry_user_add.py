"""corten registry user add: a user who may sign in."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user add [OPTIONS] NAME"
DETAIL = """\
Without accounts everybody may do everything. From the first one on everybody has to sign in, and may do
what was granted; a registry that serves notices within seconds.
A permission is ACTIONS:PATTERN. Actions are pull, push, delete and admin (which is all of them); push and
delete include pull. In a pattern * stands for any characters but a slash, ** for any characters: team/* is
what lies directly in team, team/** at any depth, ** everything. admin:** is the registry's administrator."""
EXAMPLES = (
    "corten registry user add alice --permission 'pull,push:team/**'",
    "pass show registry | corten registry user add root --admin --password-stdin",
)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("admin", "", "bool", "", "Let the user do everything: --permission admin:**"),
    ("password-stdin", "", "bool", "", "Read the password from stdin, instead of asking for it"),
    ("permission", "", "list", "ACTIONS:PATTERN", "What the user may do, such as pull,push:team/*"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "add", arguments)
