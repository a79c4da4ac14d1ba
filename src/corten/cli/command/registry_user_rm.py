"""corten registry user rm: removes users."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry user rm [OPTIONS] NAME..."
DETAIL = """\
Their sign-ins and tokens end within seconds. Images stay."""
EXAMPLES = ("corten registry user rm alice",)
ARGS = (1, None)
OPTIONS = (
    *PLACE_OPTIONS,
    ("open", "", "bool", "", "Remove the last account too: then everybody may do everything"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry's own command."""
    from corten.cli.registry_process import become_accounts

    become_accounts("user", "rm", arguments)
