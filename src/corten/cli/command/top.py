"""corten top: the processes of a container."""

from __future__ import annotations

from corten.cli.listing import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten top CONTAINER [PS OPTIONS]"
EXAMPLES = ("corten top web", "corten top web -o pid,comm,rss")
ARGS = (1, None)
INTERSPERSED = False
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    name, *ps = arguments.rest
    answer = session.get(f"/containers/{name}/top", {"ps_args": " ".join(ps)} if ps else None)
    for line in align([answer["Titles"], *(answer["Processes"] or [])], minimum=20, padding=3):
        print(line)
    return 0
