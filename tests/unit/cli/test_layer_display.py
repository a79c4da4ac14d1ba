"""Progress of layers: plain lines without bytes where nobody looks, bars where somebody does."""

from __future__ import annotations

import io

import pytest

from corten.cli.layer_display import LayerDisplay, show
from corten.errors import CortenError

MESSAGES = [
    {"status": "Pulling from a", "id": "1"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "abc"},
    {"status": "Downloading", "progressDetail": {"current": 1, "total": 9}, "progress": "[>", "id": "abc"},
    {"status": "Downloading", "progressDetail": {"current": 5, "total": 9}, "progress": "[>", "id": "abc"},
    {"status": "Pull complete", "progressDetail": {}, "id": "abc"},
    {"status": "Pull complete", "progressDetail": {}, "id": "abc"},
    {"status": "Digest: sha256:x"},
    {"progressDetail": {}, "aux": {"Tag": "1"}},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines() -> None:
    stream = io.StringIO()
    assert show(MESSAGES, stream) == [{"Tag": "1"}]
    assert stream.getvalue().splitlines() == [
        "1: Pulling from a",
        "abc: Pulling fs layer",
        "abc: Pull complete",
        "Digest: sha256:x",
    ]


def test_nothing_when_it_is_to_be_quiet() -> None:
    assert show(MESSAGES, None) == [{"Tag": "1"}]


def test_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    show(MESSAGES, stream)
    text = stream.getvalue()
    assert "1: Pulling from a" in text and "abc Pull complete" in text and "9/9 bytes" in text


def test_an_error_is_raised() -> None:
    with pytest.raises(CortenError, match="it broke"):
        show([*MESSAGES, {"error": "it broke", "errorDetail": {"message": "it broke"}}], io.StringIO())


def test_a_display_ends_in_order_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), LayerDisplay(Terminal()) as display:
        display.layer("a", "Copying", 1, 2)
        raise ValueError("x")
