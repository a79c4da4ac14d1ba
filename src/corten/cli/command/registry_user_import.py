"""corten registry user import: the users of an htpasswd file."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user import [OPTIONS] FILE|-"
DETAIL = """\
Hashes have to be bcrypt (htpasswd -B); each becomes argon2 when its user signs in. All users are added, or
none; those who are there already stay as they are."""
EXAMPLES = ("corten registry user import /etc/registry/htpasswd --permission 'pull,push:**'",)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("permission", "", "list", "ACTIONS:PATTERN", "What each new user may do, such as pull,push:team/*"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "import", arguments)
