"""Wait for a container in the foreground: signals go to it, a terminal is copied to and fro."""

from __future__ import annotations

import os
import select
import sys

from corten.linux import signals
from corten.linux.terminal import set_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute import Spawned

# ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, PIPE, CHLD, STOP, TTIN, TTOU, URG
_NOT_FORWARDED = {4, 5, 6, 7, 8, 9, 11, 13, 17, 19, 21, 22, 23}
_SIGWINCH = 28


class Foreground:
    """From before the process exists: a signal that comes early is kept for it, and ends nothing."""

    def __init__(self) -> None:
        self._spawned: Spawned | None = None
        self._early: list[int] = []
        for number in range(1, 32):
            if number not in _NOT_FORWARDED:
                signals.set_handler(number, self._take)

    def _take(self, number: int, _frame: object) -> None:
        if self._spawned is None:
            self._early.append(number)
        else:
            _forward(self._spawned, number)

    def wait(self, spawned: Spawned) -> int:
        """The exit status of the process: its own, or 128 + the signal that ended it."""
        self._spawned = spawned
        for number in self._early:
            _forward(spawned, number)
        if spawned.console is not None:
            _relay(spawned, spawned.console)
        status = os.waitpid(spawned.pid, 0)[1]
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _forward(spawned: Spawned, number: int) -> None:
    if number == _SIGWINCH and spawned.console is not None:
        _copy_size(spawned.console)
        return
    try:
        os.kill(spawned.pid, number)
    except ProcessLookupError:
        pass


def _copy_size(console: int) -> None:
    try:
        size = os.get_terminal_size(0)
    except OSError:
        return
    set_size(console, size.lines, size.columns)


def _relay(spawned: Spawned, console: int) -> None:
    """Copy between our terminal and the container's until the container is gone."""
    import termios
    import tty

    saved = None
    if os.isatty(0):
        saved = termios.tcgetattr(0)
        tty.setraw(0)
        _copy_size(console)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(console, select.POLLIN)
    poll.register(spawned.pidfd, select.POLLIN)
    try:
        ended = False
        while True:
            events = dict(poll.poll(50 if ended else None))
            if console in events:
                try:
                    data = os.read(console, 65536)
                except OSError:
                    data = b""
                if not data:
                    return
                _write_all(1, data)
            elif ended:
                return
            if 0 in events:
                data = os.read(0, 65536)
                if data:
                    _write_all(console, data)
                else:
                    os.write(console, b"\x04")
                    poll.unregister(0)
            if spawned.pidfd in events:
                ended = True
                poll.unregister(spawned.pidfd)
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        sys.stdout.flush()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
