"""corten exec: a command in a running container."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten exec [OPTIONS] CONTAINER COMMAND [ARG...]"
EXAMPLES = (
    "corten exec web ls /www",
    "corten exec -it web sh",
    "corten exec -u nobody -w /tmp -e A=1 web env",
)
ARGS = (2, None)
INTERSPERSED = False
OPTIONS = (
    ("detach", "d", "bool", "", "Run in the background"),
    ("detach-keys", "", "str", "KEYS", "Keys that detach the terminal (default ctrl-p,ctrl-q)"),
    ("env", "e", "list", "KEY=VALUE", "Set an environment variable"),
    ("env-file", "", "list", "FILE", "Read environment variables from a file"),
    ("interactive", "i", "bool", "", "Keep stdin open"),
    ("privileged", "", "bool", "", "Give the command all capabilities"),
    ("tty", "t", "bool", "", "Give it a terminal"),
    ("user", "u", "str", "USER[:GROUP]", "User (and group) by name or number"),
    ("workdir", "w", "str", "DIRECTORY", "Working directory"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    container, command = arguments.rest[0], arguments.rest[1:]
    detach, tty = arguments.on("detach"), arguments.on("tty")
    interactive = arguments.on("interactive")
    body: dict[str, Json] = {"Cmd": command}
    for option, field in (("user", "User"), ("workdir", "WorkingDir"), ("detach-keys", "DetachKeys")):
        if arguments.has(option):
            body[field] = arguments.text(option)
    if arguments.on("privileged"):
        body["Privileged"] = True
    if arguments.has("env") or arguments.has("env-file"):
        from corten.cli.container_request import environment

        body["Env"] = environment(arguments.many("env"), arguments.many("env-file"))
    if not detach:
        body["AttachStdin"] = interactive
        body["AttachStdout"] = body["AttachStderr"] = True
        if tty:
            from corten.cli import terminal

            terminal.require(interactive, tty)
        else:
            code = _handed_over(session, container, body, interactive)
            if code is not None:
                return code
    body["Tty"] = tty
    return _attached(session, container, body, detach, tty, interactive, arguments.text("detach-keys"))


def _handed_over(session: Session, container: str, body: dict[str, Json], interactive: bool) -> int | None:
    """On this command's own descriptors, in one round trip; None where the engine does not take them."""
    from corten.cli import handover as handover_module

    session.transport.ensure_running()
    handover = handover_module.offer(session.transport.address, interactive)
    if handover is None:
        return None
    try:
        answer = session.transport.request(
            "POST",
            f"/corten/containers/{container}/exec",
            json=body,
            headers={handover_module.HEADER: handover.token},
        )
        if handover.copies:
            from corten.cli import streams

            streams.copy_handover(handover, answer)
        return _code(answer.json())
    finally:
        handover.close()


def _attached(
    session: Session,
    container: str,
    body: dict[str, Json],
    detach: bool,
    tty: bool,
    interactive: bool,
    keys: str,
) -> int:
    exec_id = session.post(f"/containers/{container}/exec", json=body)["Id"]
    start: dict[str, Json] = {"Detach": detach, "Tty": tty}
    if detach:
        session.post(f"/exec/{exec_id}/start", json=start)
        return 0
    from corten.cli import foreground, streams, terminal

    if tty and (size := terminal.size()) is not None:
        start["ConsoleSize"] = list(size)
    stream = session.transport.request("POST", f"/exec/{exec_id}/start", json=start, upgrade=True).hijack()
    sequence = streams.KeySequence(keys or foreground.DEFAULT_KEYS if tty else "")
    try:
        if tty:
            terminal.end_on_signals()
        with terminal.RawTerminal(tty and interactive):
            if tty and terminal.size():
                terminal.follow_size(session, f"/exec/{exec_id}/resize")
            streams.copy_hijacked(stream, tty=tty, stdin=interactive, keys=sequence)
    finally:
        stream.close()
    result = session.get(f"/exec/{exec_id}/json")
    if result.get("Running") and sequence.seen:
        return 0  # detached
    return _code(result)


def _code(result: Json) -> int:
    if result is None or result.get("ExitCode") is None:
        raise InvalidArgument("the engine did not tell the command's exit code")
    return int(result["ExitCode"])
