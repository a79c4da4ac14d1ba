"""The steps of a build, as the engine's events tell of them: what every form of progress is drawn from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from corten.client.jsontext import Json


class Part:
    """A part of a step with a size: a layer that is fetched, a context that is read."""

    __slots__ = ("began", "current", "done", "ended", "id", "told", "told_at", "total")

    def __init__(self, name: str, at: int) -> None:
        self.id = name
        self.began = at
        self.ended = 0
        self.current = 0
        self.total = 0
        self.done = False
        self.told = -1
        self.told_at = 0


class Step:
    """One vertex. Times are nanoseconds since 1970; 0: not yet."""

    __slots__ = (
        "began",
        "cached",
        "ended",
        "error",
        "index",
        "misses",
        "name",
        "parts",
        "vertex",
    )

    def __init__(self, index: int, vertex: str, name: str, began: int) -> None:
        self.index = index
        self.vertex = vertex
        self.name = name
        self.began = began
        self.ended = 0
        self.cached = False
        self.error = ""
        self.misses: list[Json] = []
        self.parts: dict[str, Part] = {}

    @property
    def canceled(self) -> bool:
        """Whether it ended because something else did."""
        return self.error in ("canceled", "cancelled")

    def seconds(self, now: int) -> float:
        """How long it took, or takes so far."""
        return max((self.ended or now) - self.began, 0) / 1e9


class Steps:
    """All of them, in the order in which they began."""

    def __init__(self) -> None:
        self._by_vertex: dict[str, Step] = {}
        self.all: list[Step] = []
        self.expected = 0
        """How many there will be, as far as that is known."""

    def apply(self, event: Json) -> Step | None:
        """Takes in an event; the step that it is about."""
        kind = event["type"]
        if kind == "started":
            return self._start(event)
        if kind == "plan":
            # The steps of the plan, and the export.
            self.expected = len(self.all) + event.get("vertices", 0) + 1
        step = self._by_vertex.get(event.get("vertex", ""))
        if step is None:
            return None
        if kind == "status":
            part = step.parts.get(event["id"])
            if part is None:
                part = step.parts[event["id"]] = Part(event["id"], event.get("at") or _now())
            part.current, part.total = event["current"], event["total"]
            if event.get("done") and not part.done:
                part.done, part.ended = True, event.get("at") or _now()
        elif kind == "finished" and not step.ended:
            step.ended = event["at"]
            step.cached = bool(event.get("cached"))
            step.error = event.get("error") or ""
            step.misses = event.get("misses") or []
        return step

    def _start(self, event: Json) -> Step:
        vertex = event["vertex"]
        step = self._by_vertex.get(vertex)
        if step is None:
            step = Step(len(self.all) + 1, vertex, event["name"], event["at"])
            self._by_vertex[vertex] = step
            self.all.append(step)
        elif step.ended:  # an imported cache does not have what it said: the step begins once more
            step.ended, step.cached, step.error, step.misses = 0, False, "", []
        return step


def _now() -> int:
    import time

    return time.time_ns()


class Display:
    """How a build is shown. `event` takes what the engine says, in order; `refresh` is called after each
    batch, and every tenth of a second."""

    steps: Steps

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.steps = Steps()

    def event(self, event: Json) -> None:
        """One event."""
        self.steps.apply(event)

    def refresh(self) -> None:
        """Shows what is new."""

    def pause(self) -> None:
        """Gives the terminal away for a while."""
        self.refresh()

    def end(self) -> None:
        """Nothing more comes."""
        self.refresh()


_ABOUT_FILES = {
    "content": "another content",
    "mode": "another mode",
    "owner": "another owner",
    "type": "another type",
}


def explanation(step: Step) -> str:
    """`hit`, or `miss: …` with what changed: which file, which variable, which base."""
    if step.cached:
        return "hit"
    reasons = [
        _reason(miss["kind"], miss.get("what") or "", miss.get("detail") or "") for miss in step.misses
    ]
    return f"miss: {'; '.join(reasons)}" if reasons else "miss"


def _reason(kind: str, what: str, detail: str) -> str:
    if kind in ("new", "gone", "disabled"):
        return detail or kind
    if kind == "file":
        detail = _ABOUT_FILES.get(detail, detail)
    about = f"{kind} {what}".strip()
    return f"{about}: {detail}" if detail else about


def size(count: float) -> str:
    """`12.58MB`, as BuildKit's progress has sizes."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = 0
    while count >= 1000 and power < len(units) - 1:
        count /= 1000
        power += 1
    return f"{count:.2f}{units[power]}" if power else f"{count:.0f}B"


def progress(part: Part) -> str:
    """A part's bytes: ` 1.20MB / 3.40MB`; nothing for one thing that is there or not."""
    if part.total == 1:
        return ""
    if part.total:
        return f" {size(part.current)} / {size(part.total)}"
    return f" {size(part.current)}" if part.current else ""
