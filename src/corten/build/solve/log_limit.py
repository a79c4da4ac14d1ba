"""The output of a RUN on its way to those who watch: bounded, with the end kept."""

from __future__ import annotations

from collections import deque

from corten.build.solve.protocols import Log

HEAD = 8 << 20
"""Bytes that are passed on as they come."""
TAIL = 64 << 10
"""Bytes that are kept of what comes after that: the end is what says why something failed."""


class LimitedLog:
    """Passes on what is written, also to those who come later."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._head = head
        self._limit = tail
        self._said: list[tuple[int, bytes]] = []
        self._left = head
        self._tail: deque[tuple[int, bytes]] = deque()
        self._kept = 0
        self._dropped = 0
        self._listeners: list[Log] = []

    def listen(self, log: Log) -> None:
        """`log` gets everything from the beginning on."""
        for stream, data in self._said:
            log(stream, data)
        self._listeners.append(log)

    def leave(self, log: Log) -> None:
        """`log` gets nothing more."""
        self._listeners.remove(log)

    def write(self, stream: int, data: bytes) -> None:
        """What a process wrote."""
        if self._left >= len(data):
            self._left -= len(data)
            self._say(stream, data)
            return
        if self._left:
            self._say(stream, data[: self._left])
            data, self._left = data[self._left :], 0
        self._tail.append((stream, data))
        self._kept += len(data)
        while self._kept - len(self._tail[0][1]) >= self._limit:
            dropped = len(self._tail.popleft()[1])
            self._kept -= dropped
            self._dropped += dropped

    def close(self) -> None:
        """The end: what was kept is passed on."""
        over = self._kept - self._limit
        if over > 0:
            stream, data = self._tail[0]
            self._tail[0] = (stream, data[over:])
            self._dropped += over
        if self._dropped:
            said = f"\n[the output is longer than {self._head} bytes: {self._dropped} are left out here]\n"
            self._say(2, said.encode())
        for stream, data in self._tail:
            self._say(stream, data)
        self._tail.clear()
        self._kept = self._dropped = 0

    def _say(self, stream: int, data: bytes) -> None:
        self._said.append((stream, data))
        for log in self._listeners:
            log(stream, data)
