"""corten attach: this terminal becomes that of a running container."""

from __future__ import annotations

from corten.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten attach [OPTIONS] CONTAINER"
EXAMPLES = ("corten attach shell", "corten attach --no-stdin --sig-proxy=false web")
ARGS = (1, 1)
OPTIONS = (
    ("detach-keys", "", "str", "KEYS", "Keys that detach the terminal (default ctrl-p,ctrl-q)"),
    ("no-stdin", "", "bool", "", "Do not attach stdin"),
    ("sig-proxy", "", "bool", "", "Pass signals on to the container (default true)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    name = arguments.rest[0]
    inspected = session.get(f"/containers/{name}/json")
    state = inspected["State"]
    if not state["Running"]:
        raise Conflict(f"cannot attach to the container {name}: it is stopped, start it first")
    if state.get("Paused"):
        raise Conflict(f"cannot attach to the container {name}: it is paused, unpause it first")
    from corten.cli import foreground, terminal

    tty = inspected["Config"].get("Tty", False)
    stdin = not arguments.on("no-stdin") and inspected["Config"].get("OpenStdin", False)
    terminal.require(stdin, tty)
    return foreground.run_attached(
        session,
        inspected["Id"],
        tty=tty,
        stdin=stdin,
        stdout=True,
        stderr=True,
        removed=inspected["HostConfig"].get("AutoRemove", False),
        proxy=arguments.on("sig-proxy", True),
        keys=arguments.text("detach-keys"),
        start=False,
    )
