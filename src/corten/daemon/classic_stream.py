"""A build's events as the lines that Docker's classic builder writes: `Step 1/3 : …`, ` ---> id`.

The classic builder does one step after the other. Here several may run at once: each step's output is kept
until those before it have been told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from corten.api.build import BuildFailure, BuildPlanned, BuildResult, PlannedStep
from corten.build.progress import VertexFinished, VertexLog, VertexStarted
from corten.oci.digest import hex_of

Line = dict[str, Any]


class _Step:
    """One instruction, and what is known of the vertex that does it."""

    def __init__(self, number: int, planned: PlannedStep, identity: str) -> None:
        self.number = number
        self.text = planned.text
        self.layer = planned.layer
        self.lines = planned.lines
        self.identity = identity
        self.word = planned.text.partition(" ")[0].upper()
        self.output: list[str] = []
        self.announced = False
        self.started = False
        self.running = False
        self.finished = False
        self.cached = False
        self.failed = False


class ClassicStream:
    """Takes events, gives the lines that are due."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._by_vertex: dict[str, _Step] = {}
        self._position = 0
        self._ended = False
        self._in_stage = False
        self._unchanged = False
        """Whether the last layer came from the cache: then what follows and has none did so too."""

    def event(self, event: object) -> Iterator[Line]:
        """The lines that can be told now."""
        if isinstance(event, BuildPlanned):
            identity = ""
            for number, planned in enumerate(event.steps, 1):
                identity = hashlib.sha256(f"{identity}\0{planned.text}".encode()).hexdigest()[:12]
                self._steps.append(_Step(number, planned, identity))
        elif isinstance(event, VertexStarted):
            self._start(event)
        elif isinstance(event, VertexLog | VertexFinished):
            step = self._by_vertex.get(event.vertex)
            if step is not None and isinstance(event, VertexLog):
                step.output.append(event.data.decode("utf-8", "replace"))
            elif step is not None and isinstance(event, VertexFinished):
                step.finished, step.cached = True, event.cached
                step.failed = bool(event.error)
        yield from self._advance()

    def end(self, result: BuildResult, tags: list[str]) -> Iterator[Line]:
        """What is left of the steps, and the image."""
        self._ended = True
        for step in self._steps[self._position :]:
            step.cached = step.layer and (step.cached or not step.started)
            step.finished = True
        if self._steps and result.image_id:
            self._steps[-1].identity = hex_of(result.image_id)[:12]
        yield from self._advance()
        if result.image_id:
            yield {"aux": {"ID": result.image_id}}
            yield _text(f"Successfully built {hex_of(result.image_id)[:12]}\n")
        for tag in tags:
            yield _text(f"Successfully tagged {tag}\n")

    def fail(self, failure: BuildFailure) -> Iterator[Line]:
        """What the step that failed has written, and the error."""
        blamed = next((step for step in self._steps if step.failed), None)
        if blamed is not None:
            for step in self._steps[self._position : blamed.number - 1]:
                step.finished = True
            yield from self._advance()
            yield from self._announce(blamed)
            if blamed.word == "RUN":
                yield from self._running(blamed)
            yield from self._flush(blamed)
        detail: Line = {"message": failure.message}
        if failure.exit_code not in (0, 1) or failure.step:
            detail["code"] = failure.exit_code
        yield {"errorDetail": detail, "error": failure.message}

    def _start(self, event: VertexStarted) -> None:
        for step in self._steps:
            if step.layer and not step.started and step.lines == event.lines and event.lines != (0, 0):
                step.started = True
                self._by_vertex[event.vertex] = step
                return

    def _advance(self) -> Iterator[Line]:
        while self._position < len(self._steps):
            step = self._steps[self._position]
            if step.failed or not (step.finished or step.started or not step.layer):
                return
            yield from self._announce(step)
            yield from self._flush(step)
            # The last step's image has its ID only at the end.
            if (step.layer and not step.finished) or (step is self._steps[-1] and not self._ended):
                return
            yield from self._close(step)
            self._position += 1

    def _announce(self, step: _Step) -> Iterator[Line]:
        if not step.announced:
            step.announced = True
            yield _text(f"Step {step.number}/{len(self._steps)} : {step.text}")
            yield _text("\n")

    def _flush(self, step: _Step) -> Iterator[Line]:
        if step.output:
            yield from self._running(step)
        for text in step.output:
            yield _text(text)
        step.output = []

    def _running(self, step: _Step) -> Iterator[Line]:
        if not step.running:
            step.running = True
            yield _text(f" ---> Running in {step.identity}\n")

    def _close(self, step: _Step) -> Iterator[Line]:
        if step.word == "FROM":
            self._in_stage, self._unchanged = True, False
        elif step.layer:
            self._unchanged = step.cached
        else:
            step.cached = self._unchanged
        if not self._in_stage:
            return  # an ARG in front of the first FROM
        if step.cached and step.word != "FROM":
            yield _text(" ---> Using cache\n")
        elif step.word not in ("FROM", "COPY", "ADD"):
            yield from self._running(step)
            yield _text(f"Removing intermediate container {step.identity}\n")
        yield _text(f" ---> {step.identity}\n")


def _text(text: str) -> Line:
    return {"stream": text}
