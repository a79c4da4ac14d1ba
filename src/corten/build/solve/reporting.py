"""What one build tells while it runs: each vertex begins once, and ends once."""

from __future__ import annotations

import time
from collections.abc import Mapping

from corten.build.graph import Vertex
from corten.build.progress import Miss, Report, VertexFinished, VertexLog, VertexStarted, VertexStatus
from corten.build.solve.protocols import Log, Status


class Reporter:
    """Of one build. Vertices without a name are nobody's business. Two vertices with one definition are one
    in events: only the first that begins is told of."""

    def __init__(self, report: Report, ids: Mapping[Vertex, str]) -> None:
        self._report = report
        self._ids = ids
        self._begun: dict[str, Vertex] = {}
        self._ended: set[str] = set()

    def started(self, vertex: Vertex) -> None:
        """The vertex begins (nothing happens when it has)."""
        name = self._ids.get(vertex, "")
        if not vertex.name or not name or name in self._begun:
            return
        self._begun[name] = vertex
        self._report(VertexStarted(name, vertex.name, time.time_ns(), vertex.stage, vertex.lines))

    def finished(
        self, vertex: Vertex, *, cached: bool = False, error: str = "", misses: tuple[Miss, ...] = ()
    ) -> None:
        """It ends; nothing is told of one that has not begun."""
        name = self._ids.get(vertex, "")
        if self._begun.get(name) is not vertex or name in self._ended:
            return
        self._ended.add(name)
        self._report(VertexFinished(name, time.time_ns(), cached, error, misses))

    def cached(self, vertex: Vertex) -> None:
        """It was found."""
        self.started(vertex)
        self.finished(vertex, cached=True)

    def has_ended(self, vertex: Vertex) -> bool:
        return self._ids.get(vertex, "") in self._ended

    def log(self, vertex: Vertex) -> Log:
        """For what the vertex writes."""
        name = self._ids.get(vertex, "")

        def log(stream: int, data: bytes) -> None:
            self._report(VertexLog(name, stream, data, time.time_ns()))

        return log

    def status(self, vertex: Vertex) -> Status:
        """For the vertex's parts."""
        name = self._ids.get(vertex, "")

        def status(identity: str, current: int, total: int, done: bool) -> None:
            self._report(VertexStatus(name, identity, current, total, done))

        return status

    def give_up(self, why: str) -> None:
        """Ends everything that has begun."""
        for name, vertex in self._begun.items():
            if name not in self._ended:
                self.finished(vertex, error=why)
