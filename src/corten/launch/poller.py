"""A poll() loop of descriptors and what to call for each; the monitor's whole scheduler."""

from __future__ import annotations

import errno
from collections.abc import Callable
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, poll

__all__ = ["POLLERR", "POLLHUP", "POLLIN", "POLLOUT", "POLLRDHUP", "Poller"]

Handler = Callable[[int], None]


class Poller:
    """Calls `handler(events)` for each descriptor that is ready."""

    __slots__ = ("_handlers", "_masks", "_poll")

    def __init__(self) -> None:
        self._poll = poll()
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Begin to watch `fd`, or change what it is watched for. 0: only POLLHUP and POLLERR."""
        self._handlers[fd] = handler
        if self._masks.get(fd) != mask:
            self._masks[fd] = mask
            self._poll.register(fd, mask)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`; do it before closing it. Nothing happens if it is not watched."""
        if self._handlers.pop(fd, None) is not None:
            del self._masks[fd]
            self._poll.unregister(fd)

    def run_once(self, timeout_ms: int | None = None) -> int:
        """Wait, call the handlers, say how many descriptors were ready."""
        try:
            ready = self._poll.poll(timeout_ms)
        except OSError as error:  # pragma: no cover - poll() is restarted by the interpreter
            if error.errno != errno.EINTR:
                raise
            return 0
        for fd, events in ready:
            handler = self._handlers.get(fd)  # an earlier handler of this round may have dropped it
            if handler is not None:
                handler(events)
        return len(ready)
