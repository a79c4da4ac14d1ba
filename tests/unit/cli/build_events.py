"""Events of a build, as the engine sends them: what the tests of the displays are fed with."""

from __future__ import annotations

import base64
from typing import Any

from corten.cli.build_steps import Display

BEGIN = 1_700_000_000_000_000_000


class Feed:
    """Sends events to a display; times are seconds after BEGIN."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def start(self, vertex: str, name: str, at: float = 0.0) -> None:
        self._send(type="started", vertex=vertex, name=name, at=_at(at))

    def log(self, vertex: str, text: str, at: float = 0.0, stream: int = 1) -> None:
        data = base64.b64encode(text.encode()).decode()
        self._send(type="log", vertex=vertex, stream=stream, data=data, at=_at(at))

    def status(self, vertex: str, name: str, current: int, total: int, done: bool = False) -> None:
        self._send(type="status", vertex=vertex, id=name, current=current, total=total, done=done)

    def finish(self, vertex: str, at: float = 0.0, **more: Any) -> None:
        self._send(type="finished", vertex=vertex, at=_at(at), **more)

    def _send(self, **event: Any) -> None:
        self._display.event(event)
        self._display.refresh()


def _at(seconds: float) -> int:
    return BEGIN + round(seconds * 1e9)
