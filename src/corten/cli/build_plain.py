"""`--progress=plain`: lines that say which step they belong to, as BuildKit writes them.

The output of one step is kept together: another gets its turn when that one ends, or when it has waited for
some seconds.
"""

from __future__ import annotations

import binascii
import time

from corten.cli.build_steps import Display, Part, Step, explanation, progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from corten.client.jsontext import Json

_PATIENCE = 5.0
_PART_SECONDS = 5.0
_PART_SHARE = 0.05


class PlainDisplay(Display):
    """`stream` gets the lines; `explain`: with what the cache says of each step."""

    def __init__(self, stream: TextIO, *, explain: bool = False) -> None:
        super().__init__(stream)
        self._explain = explain
        self._current: Step | None = None
        self._begun = False
        self._pending: dict[Step, float] = {}
        self._lines: dict[Step, list[str]] = {}
        self._partial: dict[Step, str] = {}

    def event(self, event: Json) -> None:
        """One event."""
        step = self.steps.apply(event)
        if step is None:
            return
        if event["type"] == "log":
            self._log(step, event)
        self._pending.setdefault(step, time.monotonic())

    def _log(self, step: Step, event: Json) -> None:
        text = self._partial.pop(step, "") + binascii.a2b_base64(event["data"]).decode("utf-8", "replace")
        *whole, rest = text.split("\n")
        stamp = f"#{step.index} {_stamp((event['at'] - step.began) / 1e9)}"
        lines = self._lines.setdefault(step, [])
        lines += [f"{stamp} {line.rstrip(chr(13))}" for line in whole]
        if rest:
            self._partial[step] = rest

    def refresh(self) -> None:
        """Writes what is due."""
        for step in sorted((step for step in self._pending if step.ended), key=lambda step: step.ended):
            self._write(step)
        current = self._current
        if current is not None and current in self._pending:
            self._write(current)
        elif current is None:
            waiting = [step for step in self.steps.all if not step.ended]
            if waiting:
                self._write(
                    max(waiting, key=lambda step: (step in self._pending, len(self._lines.get(step, ()))))
                )
        now = time.monotonic()
        for step, since in list(self._pending.items()):
            if now - since > _PATIENCE and self._has_news(step):
                self._write(step)
        self.stream.flush()

    def end(self) -> None:
        """Writes everything."""
        for step in list(self._pending):
            self._write(step)
        self.stream.flush()

    def _has_news(self, step: Step) -> bool:
        return bool(self._lines.get(step)) or any(_due(part) for part in step.parts.values())

    def _write(self, step: Step) -> None:
        write = self.stream.write
        if self._current is not step:
            if self._current is not None:
                write(f"#{self._current.index} ...\n")
            write(f"{chr(10) if self._begun else ''}#{step.index} {step.name}\n")
            self._begun = True
            self._current = step
        for part in step.parts.values():
            if _due(part):
                self._part(step, part)
        if step.ended and (rest := self._partial.pop(step, "")):
            lines = self._lines.setdefault(step, [])
            lines.append(f"#{step.index} {_stamp(step.seconds(0))} {rest}")
        for line in self._lines.pop(step, ()):
            write(f"{line}\n")
        self._pending.pop(step, None)
        if step.ended:
            self._finish(step)
            self._current = None

    def _finish(self, step: Step) -> None:
        write = self.stream.write
        if self._explain and not step.error and (step.cached or step.misses):
            write(f"#{step.index} cache {explanation(step)}\n")
        if step.canceled:
            write(f"#{step.index} CANCELED\n")
        elif step.error:
            write(f"#{step.index} ERROR: {step.error}\n")
        elif step.cached:
            write(f"#{step.index} CACHED\n")
        else:
            write(f"#{step.index} DONE {step.seconds(0):.1f}s\n")

    def _part(self, step: Step, part: Part) -> None:
        part.told, part.told_at = (part.current if not part.done else -2), time.monotonic_ns()
        seconds = ((part.ended or time.time_ns()) - part.began) / 1e9
        took = f" {seconds:.1f}s" if seconds > 0.01 else ""
        done = " done" if part.done else ""
        self.stream.write(f"#{step.index} {part.id}{progress(part)}{took}{done}\n")


def _due(part: Part) -> bool:
    """Whether a part has come far enough, or is there, to be told of again."""
    if part.done:
        return part.told != -2
    if part.told < 0:
        return part.current > 0 or part.total > 0
    if part.current == part.told:
        return False
    far = part.total > 0 and (part.current - part.told) / part.total >= _PART_SHARE
    return far or time.monotonic_ns() - part.told_at > _PART_SECONDS * 1e9


def _stamp(seconds: float) -> str:
    """Seconds since the step began, in five characters or so."""
    seconds = max(seconds, 0.0)
    return f"{seconds:.{3 if seconds < 10 else 2 if seconds < 100 else 1}f}"
