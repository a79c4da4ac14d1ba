"""The terminal in raw mode, its size, and the signals that a command in the foreground passes on."""

from __future__ import annotations

import os
import sys

from corten.errors import Conflict, CortenError, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from corten.cli.session import Session
else:
    import _signal as signal  # the package costs 5 ms for its enums

# What a program is stopped or told by. The others are the kernel's own talk with this process.
PROXIED: dict[int, str] = {
    signal.SIGHUP: "HUP",
    signal.SIGINT: "INT",
    signal.SIGQUIT: "QUIT",
    signal.SIGUSR1: "USR1",
    signal.SIGUSR2: "USR2",
    signal.SIGALRM: "ALRM",
    signal.SIGTERM: "TERM",
}


def require(interactive: bool, tty: bool) -> None:
    """A terminal for the container needs one here, when input comes from here."""
    if tty and interactive and not os.isatty(0):
        raise InvalidArgument("the input device is not a TTY: leave out -t, or give the command a terminal")


def size() -> tuple[int, int] | None:
    """(rows, columns) of the terminal on stdout or stdin."""
    for fd in (1, 0, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return None


class RawTerminal:
    """Keys go to the container as they are typed; what the terminal was is restored, however the command
    ends."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted and os.isatty(0)
        self._saved: list[object] = []

    def __enter__(self) -> RawTerminal:
        if self._wanted:
            import termios

            self._saved = termios.tcgetattr(0)
            raw = termios.tcgetattr(0)
            # cfmakeraw(3)
            raw[0] &= ~(
                termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
                | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
            )  # fmt: skip
            raw[1] &= ~termios.OPOST
            raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(0, termios.TCSADRAIN, raw)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._saved:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]


def follow_size(session: Session, path: str) -> None:
    """Sends the terminal's size to `path` (…/resize) now and whenever it changes."""

    def send(_number: int = 0, _frame: FrameType | None = None) -> None:
        measured = size()
        if measured is None:
            return
        try:
            session.post(path, {"h": str(measured[0]), "w": str(measured[1])})
        except CortenError:
            pass  # the container has just ended

    signal.signal(signal.SIGWINCH, send)
    send()


class Alarm:
    """Makes waits end when a signal has come. Python runs a handler between two steps of its own: when the
    signal comes between such a step and the wait that follows, nobody would hear of it before the wait ends.
    """

    def __init__(self) -> None:
        self._reader = -1

    @property
    def fd(self) -> int:
        """Readable when a signal has come; `clear` it then."""
        if self._reader < 0:
            self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        return self._reader

    def clear(self) -> None:
        """The handlers of all signals until now have run, or run next."""
        try:
            os.read(self._reader, 512)
        except BlockingIOError:
            pass


ALARM = Alarm()


class SignalProxy:
    """Passes signals on to the container, from before its start on. The third interrupt ends this command."""

    def __init__(self, session: Session, container: str) -> None:
        self._session = session
        self._container = container
        self._interrupts = 0
        self._early: list[int] = []
        self._restore = _handle(self._receive)

    def started(self) -> None:
        """The container runs: what came too early for it is passed on now."""
        early, self._early = self._early, []
        for number in early:
            self._send(number)

    def stop(self) -> None:
        """Signals mean again what they meant before."""
        self._restore()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            self._interrupts += 1
            if self._interrupts == 3:
                name = self._container[:12]
                print(
                    f"\ncorten: got 3 signals, ending; the container goes on: 'corten kill {name}'",
                    file=sys.stderr,
                )
                raise SystemExit(1)
        self._send(number)

    def _send(self, number: int) -> None:
        try:
            self._session.post(f"/containers/{self._container}/kill", {"signal": PROXIED[number]})
        except Conflict:
            self._early.append(number)  # it does not run yet, or no more
        except CortenError:
            pass  # it is gone


def end_on_signals() -> Callable[[], None]:
    """A signal ends the command in order: the terminal is restored, the container goes on."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    return _handle(end)


def _handle(handler: Callable[[int, FrameType | None], None]) -> Callable[[], None]:
    before = {}
    for number in PROXIED:
        # What the caller ignores (nohup, a shell's background jobs) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)

    def restore() -> None:
        for number, old in before.items():
            signal.signal(number, old)

    return restore
