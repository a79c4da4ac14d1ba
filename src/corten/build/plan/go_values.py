"""Values as Go's fmt writes them: an image's history is equal to BuildKit's to the letter."""

from __future__ import annotations

from collections.abc import Iterable

from corten.build.parser.quotation import quoted


def quoted_list(texts: Iterable[str]) -> str:
    """`%q` of a slice: `["a" "b"]`."""
    return f"[{' '.join([quoted(text) for text in texts])}]"


def plain_list(texts: Iterable[str]) -> str:
    """`%v` of a slice: `[a b]`."""
    return f"[{' '.join(texts)}]"


def duration(nanoseconds: int) -> str:
    """`%v` of a time.Duration: `0s`, `1.5s`, `1h0m2s`, `100ms`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, below = divmod(rest, 60_000_000_000)
    text = f"{_decimal(below, 1_000_000_000)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = len(str(size)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0") if part else str(whole)
