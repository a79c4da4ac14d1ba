"""corten run: create, start, and (in the foreground) follow a container to its end."""

from __future__ import annotations

from corten.cli.container_options import CONTAINER_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten run [OPTIONS] IMAGE [COMMAND] [ARG...]"
DETAIL = """\
The exit code is the command's own; 125 when the container could not be made, 126 when the command cannot be
run, 127 when it does not exist, 128+n when signal n ended it. With --rm and without -t, the container writes
straight to this command's output, and 'corten logs' has nothing of it; give --log-driver to have a log as
well."""
EXAMPLES = (
    "corten run --rm busybox echo hello",
    "corten run --rm -it busybox sh",
    "corten run -d --name web --memory 64m --cpus 0.5 -p 8080:80 -v site:/www busybox httpd -f -h /www",
)
ARGS = (1, None)
INTERSPERSED = False
OPTIONS = (
    *CONTAINER_OPTIONS,
    ("detach", "d", "bool", "", "Run in the background and print the id"),
    ("sig-proxy", "", "bool", "", "Pass signals on to the container (default true)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import container_request

    detach = arguments.on("detach")
    tty, interactive = arguments.on("tty"), arguments.on("interactive")
    wanted = [name.lower() for name in arguments.many("attach")]
    _check(arguments, detach, tty, interactive, wanted)
    body = container_request.create_body(arguments)
    removed = arguments.on("rm")
    handover = None
    log_driver = arguments.text("log-driver")
    if removed and not detach and not tty and not wanted and log_driver in ("", "none"):
        from corten.cli import handover as handover_module

        # With no engine yet, its socket for descriptors is missing as well: the connection starts it.
        if session.transport.ensure_running():
            handover = handover_module.offer(session.transport.address, interactive)
    if handover is not None:
        body["OpenStdin"] = body["StdinOnce"] = interactive

        def offer_again() -> dict[str, str]:
            """A request that failed has used its descriptors up: the next one takes others."""
            nonlocal handover
            if handover is not None:
                handover.close()
            handover = handover_module.offer(session.transport.address, interactive)
            return {handover_module.HEADER: handover.token} if handover is not None else {}

        try:
            headers = {handover_module.HEADER: handover.token}
            container = _create(session, arguments, body, headers, offer_again)
            from corten.cli import foreground

            assert handover is not None

            return foreground.run_handed_over(
                session, container, handover, removed=True, proxy=arguments.on("sig-proxy", True)
            )
        finally:
            if handover is not None:
                handover.close()
    return _run_attached(session, arguments, body, detach, tty, interactive, wanted)


def _check(arguments: Arguments, detach: bool, tty: bool, interactive: bool, wanted: list[str]) -> None:
    from corten.errors import InvalidArgument

    if unknown := [name for name in wanted if name not in ("stdin", "stdout", "stderr")]:
        raise InvalidArgument(f"invalid stream {unknown[0]!r} for --attach: it is stdin, stdout or stderr")
    if detach and wanted:
        raise InvalidArgument("conflicting options: -d runs in the background, --attach in the foreground")
    if tty and not detach:
        from corten.cli import terminal

        terminal.require(interactive, tty)


def _create(
    session: Session,
    arguments: Arguments,
    body: dict[str, Json],
    headers: dict[str, str] | None = None,
    again: Callable[[], dict[str, str]] | None = None,
) -> str:
    from corten.cli import creation

    return creation.create(session, arguments, body, headers, again)


def _run_attached(
    session: Session,
    arguments: Arguments,
    body: dict[str, Json],
    detach: bool,
    tty: bool,
    interactive: bool,
    wanted: list[str],
) -> int:
    streams = wanted or ["stdout", "stderr", *(["stdin"] if interactive else [])]
    stdin = "stdin" in streams and not detach
    body["OpenStdin"] = interactive
    body["Tty"] = tty
    body["StdinOnce"] = interactive and not detach
    if not detach:
        body["AttachStdin"], body["AttachStdout"] = stdin, "stdout" in streams
        body["AttachStderr"] = "stderr" in streams
    if tty:
        from corten.cli import terminal

        if (size := terminal.size()) is not None:
            body["HostConfig"]["ConsoleSize"] = list(size)
    container = _create(session, arguments, body)
    if detach:
        session.transport.request("POST", f"/containers/{container}/start").read()
        print(container)
        return 0
    from corten.cli import foreground

    return foreground.run_attached(
        session,
        container,
        tty=tty,
        stdin=stdin,
        stdout="stdout" in streams,
        stderr="stderr" in streams,
        removed=arguments.on("rm"),
        proxy=arguments.on("sig-proxy", True),
        keys=arguments.text("detach-keys"),
    )
