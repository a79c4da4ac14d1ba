"""corten registry token create: a token for a robot."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry token create [OPTIONS] NAME --permission ACTIONS:PATTERN"
DETAIL = """\
The token is printed once. It is the password of the user robot$NAME (or robot+NAME)."""
EXAMPLES = ("corten registry token create ci --expires 30d --permission 'pull:team/*'",)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("expires", "", "str", "TIME", "When it ends: 30d, 12h, 90m, or never (default 90d)"),
    ("permission", "", "list", "ACTIONS:PATTERN", "What the robot may do, such as pull,push:team/*"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("token", "create", arguments)
