"""The bars of `layer_display`: imported, with rich, when the first is drawn."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, Task, TextColumn, TransferSpeedColumn
from rich.text import Text


class _Bytes(DownloadColumn):
    """Nothing for what has no bytes (a layer that is there already)."""

    def render(self, task: Task) -> Text:
        return super().render(task) if (task.total or 0) > 1 else Text("")


class _Speed(TransferSpeedColumn):
    """Nothing where nobody knows, and at the end."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.speed and not task.finished else Text("")


def bars(stream: TextIO) -> Progress:
    """One line for each layer: what happens to it, a bar, bytes, bytes per second."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        _Bytes(),
        _Speed(),
        console=Console(file=stream),
        expand=True,
    )
