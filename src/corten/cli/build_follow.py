"""One build, from the request to its end: sends it, shows what comes, answers what the engine asks for."""

from __future__ import annotations

from corten.client import http, jsontext
from corten.errors import CortenError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from types import FrameType

    from corten.cli.build_steps import Display
    from corten.cli.session import Session
    from corten.client.jsontext import Json
    from corten.client.transport import Response
else:
    import _signal as signal  # the package costs 5 ms for its enums

_TICK = 0.1
_ENDS = ("result", "failure", "answer")


class Outcome:
    """How the build ended: the last event, and the warnings on the way."""

    __slots__ = ("last", "warnings")

    def __init__(self) -> None:
        self.last: Json = None
        self.warnings: list[Json] = []


def follow(
    session: Session, request: dict[str, Json], archive: Iterator[bytes] | None, display: Display
) -> Outcome:
    """Runs the build. An interrupt cancels it, and waits for its end; the second one does not wait."""
    line = jsontext.dumps(request) + b"\n"
    body = line if archive is None else _after(line, archive)
    answer = session.transport.request("POST", "/corten/build", body=body)
    try:
        with _Interrupts(session, request["id"]) as interrupts:
            return _read(session, answer, display, interrupts)
    finally:
        answer.close()


def _after(line: bytes, archive: Iterator[bytes]) -> Iterator[bytes]:
    yield line
    yield from archive


def _read(session: Session, answer: Response, display: Display, interrupts: _Interrupts) -> Outcome:
    outcome = Outcome()
    try:
        _events(session, answer, display, interrupts, outcome)
    except http.ProtocolError:
        pass  # told below
    finally:
        display.end()
    if outcome.last is None:
        if interrupts.count:
            raise CortenError("the build was canceled")
        raise Unavailable("the engine went away while it built: 'corten engine status' tells more")
    return outcome


def _events(
    session: Session, answer: Response, display: Display, interrupts: _Interrupts, outcome: Outcome
) -> None:
    decoder = jsontext.LineDecoder()
    pieces = answer.stream()
    while interrupts.count < 2:
        if not answer.ready(_TICK):
            display.refresh()
            continue
        data = next(pieces, None)
        if data is None:
            return
        for event in decoder.feed(data):
            _take(session, event, display, outcome)
        display.refresh()


def _take(session: Session, event: Json, display: Display, outcome: Outcome) -> None:
    kind = event["type"]
    if kind in _ENDS:
        outcome.last = event
    elif kind == "shell":
        from corten.cli import build_shell

        display.pause()
        build_shell.run(session, event)
    elif kind == "file":
        from corten.cli import build_outputs

        build_outputs.receive(session, event)
    elif kind == "credential":
        from corten.client import credentials

        session.transport.request(
            "POST",
            f"/corten/build/{event['id']}/credential",
            query={"domain": event["domain"]},
            headers={credentials.HEADER: credentials.header_for(f"{event['domain']}/any")},
        ).read()
    else:
        if kind == "warning":
            outcome.warnings.append(event)
        display.event(event)


class _Interrupts:
    """A context: the first SIGINT cancels the build at the engine."""

    def __init__(self, session: Session, build: str) -> None:
        self._session = session
        self._build = build
        self.count = 0

    def __enter__(self) -> _Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before != signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            try:
                self._session.transport.request("POST", "/build/cancel", query={"id": self._build}).read()
            except CortenError:
                pass  # it has just ended
