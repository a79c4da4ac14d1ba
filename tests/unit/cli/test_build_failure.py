"""How a failed build is told: the step, the Dockerfile's lines with marks, the caret."""

from __future__ import annotations

import io

from corten.cli import build_failure


def shown(failure: dict[str, object]) -> list[str]:
    stream = io.StringIO()
    build_failure.show(failure, stream)
    return stream.getvalue().splitlines()


def lines(*texts: str, marked: int) -> list[dict[str, object]]:
    return [{"number": n, "text": text, "marked": n == marked} for n, text in enumerate(texts, 1)]


def test_a_step_that_failed() -> None:
    failure = {
        "message": "m",
        "step": "[2/2] RUN make",
        "log": ["0.1 cc", "0.2 error"],
        "file": "Dockerfile",
        "source": lines("FROM busybox", "RUN make", "", marked=2),
    }
    assert shown(failure) == [
        "------",
        " > [2/2] RUN make:",
        "0.1 cc",
        "0.2 error",
        "------",
        "Dockerfile:2",
        "--------------------",
        "   1 |     FROM busybox",
        "   2 | >>> RUN make",
        "   3 |",
        "--------------------",
    ]


def test_a_caret_below_the_word() -> None:
    failure = {"message": "m", "file": "x", "column": 2, "width": 4, "source": lines("\tRUNN make", marked=1)}
    assert shown(failure)[2:4] == ["   1 | >>> \tRUNN make", "     |     \t^^^^"]
    failure |= {"column": 7, "width": 99}
    assert shown(failure)[3] == "     |     \t     ^^^^"


def test_a_dockerfile_does_not_drive_the_terminal() -> None:
    failure = {
        "message": "m",
        "file": "x",
        "source": lines("RUN \x1b[2J", marked=1),
        "step": "s",
        "log": ["\x07a"],
    }
    assert not any("\x1b" in line or "\x07" in line for line in shown(failure))


def test_long_lines_are_cut() -> None:
    failure = {"message": "m", "file": "x", "column": 900, "source": lines("RUN " + "x" * 9000, marked=1)}
    shown_lines = shown(failure)
    assert shown_lines[2].endswith("x…") and len(shown_lines[2]) < 520
    assert not any("^" in line for line in shown_lines)


def test_an_error_without_a_place_has_only_its_sentence() -> None:
    assert shown({"message": "no space"}) == []


def test_warnings() -> None:
    stream = io.StringIO()
    build_failure.warn([], stream)
    assert stream.getvalue() == ""
    build_failure.warn([{"rule": "StageNameCasing", "message": "Stage name 'A'", "lines": [3, 3]}], stream)
    assert stream.getvalue().splitlines() == [
        "",
        " 1 warning found (use --check to see the lines):",
        " - StageNameCasing: Stage name 'A' (line 3)",
    ]


def test_a_caret_in_a_continued_line() -> None:
    source = [
        {"number": 4, "text": "COPY \\", "marked": True},
        {"number": 5, "text": "  --form=a b c", "marked": True},
    ]
    failure = {"message": "m", "file": "x", "column": 3, "caret_line": 5, "width": 6, "source": source}
    assert shown(failure)[2:5] == ["   4 | >>> COPY \\", "   5 | >>>   --form=a b c", "     |       ^^^^^^"]
