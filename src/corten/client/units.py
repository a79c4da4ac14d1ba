"""Sizes and durations as people write them for Docker."""

from __future__ import annotations

from corten.errors import InvalidArgument

_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NANOSECONDS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def parse_bytes(text: str, flag: str) -> int:
    """`64m`, `1.5g`, `512kb`, `1GiB` or a plain number: bytes, in powers of 1024 as Docker's flags have
    it."""
    number = text.strip().lower()
    for suffix in ("ib", "b"):
        if number.endswith(suffix) and len(number) > len(suffix) and number[-len(suffix) - 1] in "kmgtp":
            number = number[: -len(suffix)]
            break
    unit = number[-1:] if number[-1:] in _BINARY else ""
    try:
        size = float(number[: len(number) - len(unit)]) * _BINARY[unit]
        if size != size or size in (float("inf"), float("-inf")):
            raise ValueError(size)
    except ValueError:
        raise InvalidArgument(f"invalid size {text!r} for {flag}: write it as in 512k, 64m or 2g") from None
    return int(size)


def parse_duration(text: str, flag: str) -> int:
    """`1m30s`, `500ms` (Go's durations): nanoseconds. A bare 0 is allowed, as in Go."""
    rest, total = text.strip(), 0.0
    if rest == "0":
        return 0
    while rest:
        digits = 0
        while digits < len(rest) and rest[digits] in "0123456789.":
            digits += 1
        letters = digits
        while letters < len(rest) and rest[letters] not in "0123456789.":
            letters += 1
        unit = rest[digits:letters]
        try:
            total += float(rest[:digits]) * _NANOSECONDS[unit]
        except (ValueError, KeyError):
            total = -1
            break
        rest = rest[letters:]
    if total < 0 or not text.strip():
        raise InvalidArgument(f"invalid duration {text!r} for {flag}: write it as in 30s, 1m30s or 500ms")
    return int(total)
