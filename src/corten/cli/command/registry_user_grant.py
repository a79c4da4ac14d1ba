"""corten registry user grant: more permissions."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user grant [OPTIONS] NAME|anonymous ACTIONS:PATTERN..."
DETAIL = """\
A permission is ACTIONS:PATTERN. Actions are pull, push, delete and admin (which is all of them); push and
delete include pull. In a pattern * stands for any characters but a slash, ** for any characters: team/* is
what lies directly in team, team/** at any depth, ** everything. admin:** is the registry's administrator.
What anonymous may do, everybody may, signed in or not."""
EXAMPLES = (
    "corten registry user grant alice 'pull,push:team/**' 'delete:team/scratch'",
    "corten registry user grant anonymous 'pull:public/**'",
)
ARGS = (2, None)
OPTIONS = (*PLACE_OPTIONS,)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "grant", arguments)
