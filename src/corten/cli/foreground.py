"""A container in the foreground: its streams, its signals, its exit code."""

from __future__ import annotations

import sys

from corten.cli import streams
from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.handover import Handover
    from corten.cli.session import Session
    from corten.client.jsontext import Json
    from corten.client.transport import Response

DEFAULT_KEYS = "ctrl-p,ctrl-q"


def announce_wait(session: Session, container: str, removed: bool) -> Response:
    """Asks for the exit status before the start, so that none is missed; the answer's body comes at the
    end."""
    condition = "removed" if removed else "next-exit"
    return session.transport.request("POST", f"/containers/{container}/wait", query={"condition": condition})


def exit_code(answer: Response) -> int:
    """The status in the answer of a wait."""
    if answer.fileno() >= 0:
        streams.wait_for(answer)
    result: Json = answer.json() or {}
    error = result.get("Error")
    if error and error.get("Message"):
        print(f"corten: {error['Message']}", file=sys.stderr)
    return int(result.get("StatusCode", 1))


def run_handed_over(
    session: Session, container: str, handover: Handover, *, removed: bool, proxy: bool
) -> int:
    """Starts a container that has this command's own descriptors; waits for its end."""
    answer = announce_wait(session, container, removed)
    signals = None
    if proxy:
        from corten.cli import terminal

        signals = terminal.SignalProxy(session, container)
    session.transport.request("POST", f"/containers/{container}/start").read()
    if signals is not None:
        signals.started()
    if handover.copies:
        streams.copy_handover(handover, answer)
    code = exit_code(answer)
    if signals is not None:
        signals.stop()
    return code


def run_attached(
    session: Session,
    container: str,
    *,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    removed: bool = False,
    proxy: bool = True,
    keys: str = "",
    start: bool = True,
    logs: bool = False,
    wait: bool = True,
) -> int:
    """Attaches, starts (unless it runs), copies until the end, and returns the exit code; 0 after a
    detach."""
    query = {"stream": "1"}
    for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr), ("logs", logs)):
        if wanted:
            query[name] = "1"
    if keys:
        query["detachKeys"] = keys
    stream = session.transport.request(
        "POST", f"/containers/{container}/attach", query=query, upgrade=True
    ).hijack()
    from corten.cli import terminal

    sequence = streams.KeySequence(keys or DEFAULT_KEYS if tty else "")
    try:
        answer = announce_wait(session, container, removed) if wait else None
        signals = terminal.SignalProxy(session, container) if proxy and not tty else None
        if signals is None:
            terminal.end_on_signals()
        if start:
            session.transport.request("POST", f"/containers/{container}/start").read()
        if signals is not None:
            signals.started()
        with terminal.RawTerminal(tty and stdin):
            if tty and terminal.size():
                terminal.follow_size(session, f"/containers/{container}/resize")
            detached = streams.copy_hijacked(
                stream, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr, keys=sequence
            )
    finally:
        stream.close()
    if detached and _still_runs(session, container):
        print("read escape sequence", file=sys.stderr)
        return 0
    code = exit_code(answer) if answer is not None else 0
    if signals is not None:
        signals.stop()
    return code


def _still_runs(session: Session, container: str) -> bool:
    try:
        return bool(session.get(f"/containers/{container}/json")["State"]["Running"])
    except CortenError:
        return False
