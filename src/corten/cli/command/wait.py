"""corten wait: wait until containers stop, print their exit codes."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten wait CONTAINER [CONTAINER...]"
EXAMPLES = ("corten wait job",)
ARGS = (1, None)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""

    def wait(name: str) -> None:
        print(session.post(f"/containers/{name}/wait")["StatusCode"], flush=True)

    return each(arguments.rest, wait, show=False)
