"""How far the layers of an image are: a bar for each at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any, TextIO

    from corten.client.jsontext import Json

_FINISHED = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from ", "Copied")


class LayerDisplay:
    """A context. `stream` is where it is shown; nothing is when it is None."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, str] = {}

    def __enter__(self) -> LayerDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def line(self, text: str) -> None:
        """Something that is not about one layer."""
        if self._stream is None:
            return
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def layer(self, name: str, status: str, current: int = 0, total: int = 0) -> None:
        """How far one layer is, in bytes; `total` is 0 for what has no measure."""
        if self._stream is None:
            return
        if not self._terminal:
            # Bytes that come by are for eyes only.
            if not total and self._said.get(name) != status:
                self._said[name] = status
                print(f"{name}: {status}", file=self._stream, flush=True)
            return
        if self._progress is None:
            from corten.cli.layer_bars import bars

            self._progress = bars(self._stream)
            self._progress.start()
        done = status.startswith(_FINISHED)
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(
                f"{name} {status}", total=1 if done else None, start=done
            )
        task = self._tasks[name]
        if total:
            self._progress.start_task(task)
            self._progress.update(task, description=f"{name} {status}", completed=current, total=total)
        elif done:
            self._progress.start_task(task)
            size = self._progress.tasks[task].total or 1
            self._progress.update(task, description=f"{name} {status}", completed=size, total=size)
        else:
            self._progress.update(task, description=f"{name} {status}")


def show(messages: Iterable[Json], stream: TextIO | None) -> list[Json]:
    """Shows the engine's progress of a pull or push; returns the results in it (`aux`). Raises its error."""
    results = []
    with LayerDisplay(stream) as display:
        for message in messages:
            if message.get("error"):
                raise CortenError(str(message["error"]).strip())
            if message.get("aux"):
                results.append(message["aux"])
                continue
            status, name = str(message.get("status", "")), str(message.get("id", ""))
            detail = message.get("progressDetail")
            if name and detail is not None:
                display.layer(name, status, int(detail.get("current") or 0), int(detail.get("total") or 0))
            elif status:
                display.line(f"{name}: {status}" if name else status)
    return results


def output(quiet: bool) -> TextIO | None:
    """Where a pull or push that is the command itself is shown."""
    return None if quiet else sys.stdout
