"""--progress=tty, looked at through a terminal emulator."""

from __future__ import annotations

import io
import time

import pytest

from corten.cli import build_terminal
from corten.cli.build_terminal import TerminalDisplay
from tests.unit.cli.build_events import BEGIN, Feed

pyte = pytest.importorskip("pyte")


class Window:
    """A display, and the terminal that it draws on."""

    def __init__(self, columns: int, rows: int, *, explain: bool = False) -> None:
        self.columns, self.rows = columns, rows
        self.stream = io.StringIO()
        self.display = TerminalDisplay(self.stream, explain=explain)
        self.display._size = lambda: (self.columns, self.rows)  # type: ignore[method-assign]
        self.screen = pyte.Screen(columns, rows)
        self.screen.set_mode(pyte.modes.LNM)  # what a tty does with a line feed
        self._terminal = pyte.Stream(self.screen)
        self.feed = Feed(self.display)

    def type(self, text: str) -> None:
        self._terminal.feed(text)

    def lines(self, *, refresh: bool = True) -> list[str]:
        if refresh:
            self.display._draw(final=False)
        self._terminal.feed(self.stream.getvalue())
        self.stream.seek(0)
        self.stream.truncate()
        return [line.rstrip() for line in self.screen.display]

    def end(self) -> list[str]:
        self.display.end()
        return self.lines(refresh=False)

    def color(self, row: int) -> str:
        return str(self.screen.buffer[row][1].fg)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: BEGIN + 5_000_000_000)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(build_terminal, "_INTERVAL", 1e9)


def test_a_build_from_begin_to_end() -> None:
    window = Window(60, 12)
    window.type("$ corten build .\r\n")
    feed = window.feed
    feed.start("a", "[1/2] FROM busybox", 3)
    feed.finish("a", 3.2)
    feed.start("b", "[2/2] RUN make", 3.5)
    feed.log("b", "cc -c a.c\ncc -c b.c\n")
    assert window.lines()[:6] == [
        "$ corten build .",
        "[+] Building 0.0s (1/2)",
        " => [1/2] FROM busybox                                 0.2s",
        " => [2/2] RUN make                                     1.5s",
        " => => # cc -c a.c",
        " => => # cc -c b.c",
    ]
    assert (window.color(2), window.color(3)) == ("blue", "default")
    feed.finish("b", 4.9)
    last = window.end()
    assert last[:5] == [
        "$ corten build .",
        "[+] Building 0.0s (2/2) FINISHED",
        " => [1/2] FROM busybox                                 0.2s",
        " => [2/2] RUN make                                     1.4s",
        "",
    ]
    assert window.screen.cursor.y == 4 and not window.screen.cursor.hidden


def test_it_never_needs_more_rows_than_there_are() -> None:
    window = Window(50, 10)
    for number in range(30):
        window.feed.start(f"v{number}", f"[{number}/30] RUN step {number}", number / 10)
        if number < 25:
            window.feed.finish(f"v{number}", number / 10 + 0.1)
        window.feed.log(f"v{number}", "output\n" * 8)
        shown = window.lines()
        assert shown[0].startswith("[+] Building")
        assert window.screen.cursor.y < 10
    assert [line.split("]")[0] for line in shown if "RUN" in line] == [
        f" => [{number}/30" for number in range(25, 30)
    ]
    full = [line for line in window.end() if "RUN" in line]
    assert full[-1].startswith(" => [29/30] RUN step 29")


def test_another_size() -> None:
    window = Window(40, 10)
    window.feed.start("a", "[1/1] RUN " + "x" * 60)
    assert len(window.lines()[1]) == 39
    window.columns = 70
    window.screen.resize(10, 70)
    lines = window.lines()
    assert len(lines[1]) == 69 and lines[2] == ""
    assert lines[0].startswith("[+]")


def test_what_a_step_writes_does_not_drive_the_terminal() -> None:
    window = Window(60, 10)
    window.feed.start("a", "[1/1] RUN \x1b[2Jevil\x07")
    window.feed.log(
        "a", "\x1b[31mred\x1b[0m \x1b]0;title\x07after\n10%\r50%\r99%\n\x1b[2J\x1b[Hhome\n\x1bcreset\n\ta\bb"
    )
    lines = window.lines()
    assert lines[1].startswith(" => [1/1] RUN evil")
    assert lines[2:7] == [
        " => => # red after",
        " => => # 99%",
        " => => # home",
        " => => # reset",
        " => => #         b",
    ]


def test_wide_letters_are_counted_as_two() -> None:
    window = Window(40, 10)
    window.feed.start("a", "[1/1] RUN echo " + "日本語" * 10)
    line = window.screen.display[1] if window.lines() else ""
    assert line.rstrip().endswith("s") and len(line.rstrip()) <= 40


def test_failures_and_cancelled_steps_are_coloured() -> None:
    window = Window(60, 10)
    window.feed.start("a", "[a] RUN false")
    window.feed.start("b", "[b] RUN sleep")
    window.feed.start("c", "[c] FROM x")
    window.feed.finish("a", 1, error="exit code: 1")
    window.feed.finish("b", 1, error="canceled")
    window.feed.finish("c", cached=True)
    lines = window.end()
    assert [line[4:].split()[0] for line in lines[1:4]] == ["ERROR", "CANCELED", "CACHED"]
    assert [window.color(row) for row in (1, 2, 3)] == ["red", "brown", "blue"]
    assert "FINISHED" not in lines[0]


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    window = Window(60, 10)
    window.feed.start("a", "[a] RUN false")
    window.feed.finish("a", 1, error="exit code: 1")
    window.end()
    assert window.color(1) == "default"


def test_parts_and_explanations() -> None:
    window = Window(60, 12, explain=True)
    window.feed.start("a", "[1/1] FROM debian", 4)
    window.feed.status("a", "sha256:abc", 12_580_000, 29_150_000)
    assert window.lines()[2].startswith(" => => sha256:abc 12.58MB / 29.15MB")
    window.feed.finish("a", 5, misses=[{"kind": "new", "detail": "never built"}])
    assert "   miss: never built" in window.end()


def test_pausing_leaves_the_frame_and_draws_below() -> None:
    window = Window(60, 12)
    window.feed.start("a", "[1/1] RUN x")
    window.display.pause()
    window.lines(refresh=False)
    window.type("a shell\r\n")
    lines = window.lines()
    assert lines[0].startswith("[+]") and lines[2] == "a shell" and lines[3].startswith("[+]")


def test_how_many_steps_there_will_be() -> None:
    window = Window(60, 12)
    window.feed.start("a", "[internal] load build definition from Dockerfile")
    window.feed.finish("a")
    window.display.event({"type": "plan", "steps": [], "vertices": 3})
    window.feed.start("b", "[1/3] FROM busybox")
    assert window.lines()[0] == "[+] Building 0.0s (1/5)"
    window.feed.finish("b", cached=True)
    assert window.end()[0] == "[+] Building 0.0s (2/2) FINISHED"
