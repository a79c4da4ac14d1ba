"""Progress for a person: bars when stderr is a terminal and it takes longer than a second, plain lines
otherwise."""

from __future__ import annotations

import sys
import time

from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from corten.client.transport import Response

PATIENCE = 1.0  # seconds before a bar appears


class Bar:
    """How much of a transfer is done. `total` in bytes, None when nobody knows."""

    def __init__(self, title: str, total: int | None, quiet: bool) -> None:
        self._title = title.strip()
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._wanted = not quiet and sys.stderr.isatty()
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        return self

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""
        self._done += count
        if not self._wanted or (self._progress is None and time.monotonic() - self._begun < PATIENCE):
            return
        if self._progress is None:
            self._progress = _rich_progress()
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=self._total)
        self._progress.update(self._task, completed=self._done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def _rich_progress() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )


def follow(answer: Response, *, quiet: bool = False, last_status: bool = False) -> int:
    """Shows the engine's stream of progress messages; an error in it is raised.

    Messages with `stream`, and with `last_status` the last `status` (a new image's id), are the command's
    result
    and go to stdout; all others go to stderr, each once.
    """
    status = ""
    bars = _Layers(quiet)
    with bars:
        for message in answer.json_stream():
            if message.get("error"):
                raise CortenError(str(message["error"]).strip())
            if message.get("stream"):
                bars.clear()
                sys.stdout.write(message["stream"])
                sys.stdout.flush()
            elif message.get("progressDetail"):
                bars.update(
                    str(message.get("id", "")), str(message.get("status", "")), message["progressDetail"]
                )
            elif message.get("status"):
                if last_status and status:
                    bars.line(status)
                status = _line(message)
                if not last_status:
                    bars.line(status)
    if last_status and status:
        print(status)
    return 0


def _line(message: dict[str, Any]) -> str:
    prefix = f"{message['id']}: " if message.get("id") else ""
    return f"{prefix}{message['status']}"


class _Layers:
    """Several things at once (the layers of an image), each with a bar of its own."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: set[str] = set()

    def __enter__(self) -> _Layers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Takes the bars away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks = {}

    def line(self, text: str) -> None:
        """A line of its own."""
        if not self._quiet and text not in self._said:
            self._said.add(text)
            if self._progress is not None:
                self._progress.console.print(text, markup=False, highlight=False)
            else:
                print(text, file=sys.stderr, flush=True)

    def update(self, name: str, status: str, detail: dict[str, Any]) -> None:
        """How far one of them is."""
        if self._quiet:
            return
        title = f"{name}: {status}" if name else status
        if not self._terminal:
            self.line(title)
            return
        if self._progress is None:
            if time.monotonic() - self._begun < PATIENCE:
                return
            self._progress = _rich_progress()
            self._progress.start()
        total = detail.get("total") or None
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=detail.get("current", 0), total=total)
