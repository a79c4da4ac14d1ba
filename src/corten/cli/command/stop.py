"""corten stop: ask containers to stop, kill those that do not."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten stop [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = (
    "corten stop web",
    "corten stop -t 2 web db",
)
ARGS = (1, None)
OPTIONS = (
    ("signal", "s", "str", "SIGNAL", "Signal that asks the container to stop"),
    ("time", "", "int", "SECONDS", "(hidden) the same as --timeout"),
    ("timeout", "t", "int", "SECONDS", "Time it has before it is killed; -1 for no end"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {}
    if arguments.has("signal"):
        query["signal"] = arguments.text("signal")
    if arguments.has("time") or arguments.has("timeout"):
        query["t"] = str(arguments.number("timeout", arguments.number("time")))
    return each(arguments.rest, lambda name: session.post(f"/containers/{name}/stop", query))
