"""A step of a load, pull or push as Docker's API has it on a line of JSON."""

from __future__ import annotations

from typing import Any

from corten.image.model import Progress

_CELLS = 50
#: Empty where there are no bytes to tell: Docker's client draws a line for each id that has it.
_OF_A_LAYER = "progressDetail"


def progress_line(progress: Progress) -> dict[str, Any]:
    """`status`, `id`, `progressDetail` and the bar that a client without one of its own shows."""
    line: dict[str, Any] = {"status": progress.status}
    if progress.total > 0 or progress.current > 0:
        line[_OF_A_LAYER] = {"current": progress.current, "total": progress.total}
        line["progress"] = bar(progress.current, progress.total)
    elif progress.id and not progress.status.startswith("Pulling from "):
        line[_OF_A_LAYER] = {}
    if progress.id:
        line["id"] = progress.id
    return line


def bar(current: int, total: int) -> str:
    """`[=====>      ]  1.2MB/3.4MB`, as Docker's jsonmessage draws it."""
    if total <= 0:
        return f"{_size(current):>8}"
    done = min(current * _CELLS // total, _CELLS)
    shown = f"{_size(current):>8}/{_size(total)}" if current <= total else f"{_size(current):>8}"
    return f"[{'=' * done}>{' ' * (_CELLS - done)}] {shown}"


def _size(count: int) -> str:
    """Go's units.HumanSize with four significant digits."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.4g}{unit}"
        value /= 1000
    raise AssertionError("unreachable")
