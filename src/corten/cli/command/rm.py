"""corten rm: remove containers."""

from __future__ import annotations

from corten.cli.each import each
from corten.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten rm [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = (
    "corten rm job",
    "corten rm -fv web",
)
ARGS = (1, None)
OPTIONS = (
    ("force", "f", "bool", "", "Kill a running container first; do not mind one that does not exist"),
    ("link", "l", "bool", "", "Remove a link, not a container"),
    ("volumes", "v", "bool", "", "Remove its anonymous volumes as well"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {
        option: "1"
        for option, name in (("force", "force"), ("v", "volumes"), ("link", "link"))
        if arguments.on(name)
    }

    def remove(name: str) -> None:
        try:
            session.delete("/containers/" + name.lstrip("/"), query)
        except NotFound:
            if not arguments.on("force"):
                raise

    return each(arguments.rest, remove)
