"""What one build has told so far: the queue to its client, the end of each step's output, and the steps that
are not in the graph."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from corten.api.build import (
    BuildAnswer,
    BuildFailure,
    BuildPlanned,
    BuildResult,
    CredentialQuery,
    FileOffer,
    ShellOffer,
)
from corten.build.progress import (
    Event,
    VertexFinished,
    VertexLog,
    VertexStarted,
    VertexStatus,
)
from corten.build.solve.failure import LayersLost
from corten.errors import CortenError

BuildLine = (
    Event | BuildPlanned | CredentialQuery | FileOffer | ShellOffer | BuildAnswer | BuildResult | BuildFailure
)
"""What the client of a build is sent: events, and one of the last three at the end."""

_LAST_LINES = 20
_LONGEST_LINE = 4096
CANCELED = "canceled"
BUILD_CANCELED = BuildFailure(message="the build was canceled")
"""How a build ends that nobody wants any more."""


class _Tail:
    """The last lines that a step has written, with the seconds since its begin."""

    def __init__(self, name: str, began: int) -> None:
        self.name = name
        self.began = began
        self.failed = False
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._partial = ""

    def feed(self, data: bytes, at: int) -> None:
        text = self._partial + data.decode("utf-8", "replace")
        *whole, rest = text.split("\n")
        self._partial = rest[-_LONGEST_LINE:]
        for line in whole[-_LAST_LINES:]:
            self.lines.append(self._stamped(line, at))

    def last(self) -> list[str]:
        lines = list(self.lines)
        if self._partial:
            lines = [*lines, self._stamped(self._partial, time.time_ns())][-_LAST_LINES:]
        return lines

    def _stamped(self, line: str, at: int) -> str:
        shown = line.rstrip("\r").rpartition("\r")[2][:_LONGEST_LINE]
        return f"{max(at - self.began, 0) / 1e9:.3f} {shown}"


class BuildEvents:
    """Of one build; `report` is called on the event loop. `record` is told the same as the client."""

    def __init__(self, record: Callable[[BuildLine], None] | None = None) -> None:
        self._record = record
        self._queue: asyncio.Queue[BuildLine | None] = asyncio.Queue()
        self._tails: dict[str, _Tail] = {}

    def report(self, event: BuildLine) -> None:
        """Tells the client."""
        if isinstance(event, VertexStarted):
            self._tails.setdefault(event.vertex, _Tail(event.name, event.at))
        elif isinstance(event, VertexLog):
            tail = self._tails.get(event.vertex)
            if tail is not None:
                tail.feed(event.data, event.at)
        elif isinstance(event, VertexFinished):
            tail = self._tails.get(event.vertex)
            if tail is not None:
                tail.failed = bool(event.error) and event.error != CANCELED
        if self._record is not None:
            self._record(event)
        self._queue.put_nowait(event)

    def end(self) -> None:
        """Nothing more comes."""
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[BuildLine]:
        while (event := await self._queue.get()) is not None:
            yield event

    def log_of(self, name: str) -> list[str]:
        """The last lines of the step with this name that failed."""
        for tail in self._tails.values():
            if tail.name == name and tail.failed:
                return tail.last()
        return []

    @contextmanager
    def step(self, name: str) -> Iterator[OwnStep]:
        """A step that is no vertex of the graph, for as long as the context lasts."""
        vertex = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.report(VertexStarted(vertex, name, time.time_ns()))
        error = CANCELED
        try:
            yield OwnStep(vertex, self.report)
            error = ""
        except LayersLost:
            error = ""  # it is begun once more
            raise
        except CortenError as failure:
            error = failure.message
            raise
        finally:
            self.report(VertexFinished(vertex, time.time_ns(), error=error))


class OwnStep:
    """A step of the build's own; called as a `Status`."""

    def __init__(self, vertex: str, report: Callable[[Event], None]) -> None:
        self._vertex = vertex
        self._report = report

    def __call__(self, identity: str, current: int, total: int, done: bool) -> None:
        self._report(VertexStatus(self._vertex, identity, current, total, done))

    def note(self, text: str) -> None:
        """A remark for the user."""
        self._report(VertexLog(self._vertex, 2, f"{text}\n".encode(), time.time_ns()))
