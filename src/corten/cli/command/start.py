"""corten start: start stopped containers; -a follows one."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten start [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = ("corten start web db", "corten start -ai shell")
ARGS = (1, None)
OPTIONS = (
    ("attach", "a", "bool", "", "Attach stdout and stderr, pass on signals, and wait"),
    ("detach-keys", "", "str", "KEYS", "Keys that detach the terminal (default ctrl-p,ctrl-q)"),
    ("interactive", "i", "bool", "", "Attach stdin"),
    ("sig-proxy", "", "bool", "", "Pass signals on to the container (default true)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    names = arguments.rest
    if not arguments.on("attach") and not arguments.on("interactive"):
        from corten.cli.each import each

        return each(names, lambda name: session.transport.request("POST", f"/containers/{name}/start").read())
    if len(names) > 1:
        raise InvalidArgument("cannot start and attach multiple containers at once")
    from corten.cli import foreground, terminal

    config = session.get(f"/containers/{names[0]}/json")
    tty, open_stdin = config["Config"].get("Tty", False), config["Config"].get("OpenStdin", False)
    stdin = arguments.on("interactive") and open_stdin
    terminal.require(stdin, tty)
    return foreground.run_attached(
        session,
        config["Id"],
        tty=tty,
        stdin=stdin,
        stdout=True,
        stderr=True,
        removed=config["HostConfig"].get("AutoRemove", False),
        proxy=arguments.on("sig-proxy", True),
        keys=arguments.text("detach-keys"),
    )
