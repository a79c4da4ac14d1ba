"""`--progress=tty`: the steps that run, drawn over and over in place, as BuildKit's own display has it.

::

    [+] Building 4.2s (5/7)
     => [build 1/3] FROM busybox                                       0.0s
     => CACHED [build 2/3] WORKDIR /src                                0.0s
     => [build 3/3] RUN make                                           3.9s
     => => # cc -c main.c
"""

from __future__ import annotations

import binascii
import os
import time

from corten.cli.build_steps import Display, Step, explanation, progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from corten.client.jsontext import Json

_LOG_LINES = 6
_DONE, _FAILED, _CANCELED, _LOG, _PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[33m", "\x1b[2m", ""
_END = "\x1b[0m"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
_LEAST_WIDTH, _LEAST_HEIGHT = 20, 6
_INTERVAL = 0.08  # seconds between two frames


class TerminalDisplay(Display):
    """`size` gives (columns, rows). Nothing that a RUN writes reaches the terminal but printable text."""

    def __init__(self, stream: TextIO, *, explain: bool = False) -> None:
        super().__init__(stream)
        self._explain = explain
        self._began = time.time_ns()
        self._tails: dict[Step, _Tail] = {}
        self._drawn: list[int] = []
        """The widths of the lines of the last frame, the cursor being below them."""
        self._drawn_at = 0.0
        self._color = not os.environ.get("NO_COLOR")
        try:
            self._log_lines = max(int(os.environ.get("BUILDKIT_TTY_LOG_LINES", "")), 0)
        except ValueError:
            self._log_lines = _LOG_LINES

    def event(self, event: Json) -> None:
        """One event."""
        step = self.steps.apply(event)
        if step is not None and event["type"] == "log" and self._log_lines:
            tail = self._tails.setdefault(step, _Tail(self._log_lines))
            tail.feed(binascii.a2b_base64(event["data"]).decode("utf-8", "replace"))

    def refresh(self) -> None:
        """Draws a frame over the last one, unless that is very new."""
        if time.monotonic() - self._drawn_at >= _INTERVAL:
            self._draw(final=False)

    def pause(self) -> None:
        """Leaves the last frame as it is; the next one is drawn below what is written meanwhile."""
        self._draw(final=False)
        self._drawn = []

    def end(self) -> None:
        """Everything, once more, to stay."""
        self._draw(final=True)
        self._drawn = []
        if self._explain:
            self._explanations()

    def _draw(self, *, final: bool) -> None:
        columns, rows = self._size()
        lines = self._frame(columns, rows, final)
        out = [_HIDE]
        # A terminal that became narrower has wrapped the last frame's lines.
        up = sum(max(1, -(-width // columns)) for width in self._drawn)
        if up:
            out.append(f"\x1b[{up}A")
        out.append("\r")
        for style, text in lines:
            painted = f"{style}{text}{_END}" if style and self._color else text
            out.append(f"{painted}{_ERASE_LINE}\r\n")
        out += [_ERASE_BELOW, _SHOW]
        self.stream.write("".join(out))
        self.stream.flush()
        self._drawn = [_width(text) for _style, text in lines]
        self._drawn_at = time.monotonic()

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return max(columns or 80, _LEAST_WIDTH), max(rows or 24, _LEAST_HEIGHT)

    def _frame(self, columns: int, rows: int, final: bool) -> list[tuple[str, str]]:
        now = time.time_ns()
        steps = self.steps.all
        done = sum(step.ended > 0 for step in steps)
        total = len(steps) if final else max(len(steps), self.steps.expected)
        head = f"[+] Building {(now - self._began) / 1e9:.1f}s ({done}/{total})"
        if final and done == total and steps and not any(step.error for step in steps):
            head += " FINISHED"
        blocks = [self._block(step, columns, now, final) for step in steps]
        lines = [line for block in blocks for line in block] if final else _fit(steps, blocks, rows - 2)
        return [(_PLAIN, head), *lines]

    def _block(self, step: Step, columns: int, now: int, final: bool) -> list[tuple[str, str]]:
        """The lines of one step: itself, its parts, and while it runs the last that it said."""
        style, mark = _PLAIN, ""
        if step.canceled:
            style, mark = _CANCELED, "CANCELED "
        elif step.error:
            style, mark = _FAILED, "ERROR "
        elif step.ended:
            style, mark = _DONE, "CACHED " if step.cached else ""
        lines = [(style, _line(f" => {mark}{step.name}", step.seconds(now), columns))]
        for part in step.parts.values():
            seconds = ((part.ended or now) - part.began) / 1e9
            text = _line(f" => => {part.id}{progress(part)}", seconds, columns)
            lines.append((_DONE if part.done or step.ended else _PLAIN, text))
        tail = self._tails.get(step)
        if tail is not None and not step.ended and not final:
            lines += [(_LOG, _cut(f" => => # {text}", columns - 1)) for text in tail.lines()]
        return lines

    def _explanations(self) -> None:
        known = [step for step in self.steps.all if not step.error and (step.cached or step.misses)]
        if known:
            self.stream.write("\n")
        for step in known:
            self.stream.write(f"{step.name}\n   {explanation(step)}\n")
        self.stream.flush()


class _Tail:
    """The last lines of a step's output, as a terminal would show them: no colours, no cursor."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lines: list[str] = []
        self._partial = ""

    def feed(self, text: str) -> None:
        *whole, self._partial = (self._partial + text).split("\n")
        self._lines = [*self._lines, *(_printable(line) for line in whole[-self._count :])][-self._count :]
        self._partial = self._partial[-4096:]

    def lines(self) -> list[str]:
        rest = _printable(self._partial)
        shown = [*self._lines, rest] if rest else self._lines
        return [line for line in shown[-self._count :] if line.strip()]


def _printable(line: str) -> str:
    """What is left on the screen of a line: what comes after a carriage return overwrites, escape sequences
    are taken out, tabs become spaces."""
    line = line.rstrip("\r").rpartition("\r")[2].expandtabs(8)
    if line.isprintable():
        return line
    result: list[str] = []
    position = 0
    while position < len(line):
        letter = line[position]
        position += 1
        if letter == "\x1b":
            position = _after_escape(line, position)
        elif letter == "\b":
            del result[-1:]
        elif letter.isprintable():
            result.append(letter)
    return "".join(result)


def _after_escape(line: str, position: int) -> int:
    """Where an escape sequence ends that began before `position` (ECMA-48: CSI, OSC and its like, others)."""
    kind = line[position : position + 1]
    position += 1
    if kind == "[":
        while position < len(line) and not "@" <= line[position] <= "~":
            position += 1
        return position + 1
    if kind and kind in "]PX^_":
        while position < len(line) and line[position] not in "\a\x1b\x9c":
            position += 1
        return position + (2 if line[position : position + 1] == "\x1b" else 1)
    return position


def _fit(steps: list[Step], blocks: list[list[tuple[str, str]]], room: int) -> list[tuple[str, str]]:
    """The blocks in `room` lines: first what has ended goes, the oldest before the others; then the output
    of what runs; then the oldest steps that run."""
    left = sum(map(len, blocks))
    shown = [list(block) for block in blocks]
    for position, step in enumerate(steps):
        if left <= room:
            break
        if step.ended:
            left -= len(shown[position])
            shown[position] = []
    for block in shown:
        if left <= room:
            break
        keep = max(1, len(block) - (left - room)) if block else 0
        left -= len(block) - keep
        del block[keep:]
    lines = [line for block in shown for line in block]
    return lines[-room:]


def _line(text: str, seconds: float, columns: int) -> str:
    """`text` to the left, the time to the right, one column free."""
    timer = f" {seconds if seconds >= 0.05 else 0.0:.1f}s"
    room = columns - 1 - len(timer)
    text = _cut(text, room)
    return text + " " * (room - _width(text)) + timer


def _cut(text: str, room: int) -> str:
    """At most `room` columns of it."""
    text = text if text.isprintable() else _printable(text.replace("\n", " "))
    if _width(text) <= room:
        return text
    if text.isascii():
        return text[: max(room, 0)]
    result, width = "", 0
    for letter in text:
        width += _width(letter)
        if width > room:
            break
        result += letter
    return result


def _width(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
