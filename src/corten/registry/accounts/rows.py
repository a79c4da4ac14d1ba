"""Tables and JSON on standard output."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them."""
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    for line in (heads, *rows):
        print("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def print_json(objects: Iterable[object]) -> None:
    """One array."""
    print(msgspec.json.format(msgspec.json.encode(list(objects)), indent=2).decode())


def moment(milliseconds: int) -> str:
    """Local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))
