"""corten kill: send a signal to containers."""

from __future__ import annotations

from corten.cli.each import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten kill [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = (
    "corten kill web",
    "corten kill -s HUP web",
)
ARGS = (1, None)
OPTIONS = (("signal", "s", "str", "SIGNAL", "Signal to send (default KILL)"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    signal = arguments.text("signal", "KILL")
    return each(arguments.rest, lambda name: session.post(f"/containers/{name}/kill", {"signal": signal}))
