"""Sizes, durations and times, as a person writes them and as Docker prints them."""

from __future__ import annotations

import time

from corten.client.units import parse_bytes as parse_bytes
from corten.client.units import parse_duration as parse_duration
from corten.errors import InvalidArgument

__all__ = (
    "ago",
    "human_binary",
    "human_duration",
    "human_size",
    "local_time",
    "parse_bytes",
    "parse_duration",
)


def parse_moment(text: str, flag: str, now: float | None = None) -> str:
    """A point in time for the API, in seconds since 1970: `10m` ago, RFC 3339, a date, or seconds already."""
    try:
        return f"{float(text):.9f}".rstrip("0").rstrip(".") if "." in text else str(int(text))
    except ValueError:
        pass
    current = time.time() if now is None else now
    try:
        return f"{current - parse_duration(text, flag) / 1e9:.9f}"
    except InvalidArgument:
        pass
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            f"invalid time {text!r} for {flag}: write it as in 10m, 2006-01-02T15:04:05Z or 1136073600"
        ) from None
    return f"{moment.timestamp():.9f}"  # without a zone: the caller's own, as Docker's client has it


def human_size(size: float, digits: int = 4) -> str:
    """Powers of 1000 with `digits` significant digits: `77.8MB` has three, `1.234kB` four."""
    number, unit = _scaled(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB"), digits)
    return f"{number}{unit}"


def human_binary(size: float) -> str:
    """Powers of 1024: `1.5GiB`."""
    number, unit = _scaled(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 4)
    return f"{number}{unit}"


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> tuple[str, str]:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    number = f"{size:.{digits}g}"
    return (f"{float(number):.0f}" if "e" in number else number), units[index]


def human_duration(seconds: float) -> str:
    """How Docker tells a span: `Less than a second`, `3 minutes`, `About an hour`, `2 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600 / 24 / 365)} years"


def parse_timestamp(text: str) -> float:
    """RFC 3339 with nanoseconds, in seconds since 1970; 0 for Go's zero time."""
    if not text or text.startswith("0001-"):
        return 0.0
    from datetime import datetime

    head, dot, tail = text.partition(".")
    if dot:
        digits = 0
        while digits < len(tail) and tail[digits].isdigit():
            digits += 1
        text = f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def local_time(seconds: float) -> str:
    """As Docker's `CreatedAt`: `2006-01-02 15:04:05 +0000 UTC`."""
    moment = time.localtime(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S %z ", moment) + (moment.tm_zone or "UTC")


def ago(seconds: float, now: float | None = None) -> str:
    """`3 minutes ago`; `N/A` for the zero time."""
    if not seconds:
        return "N/A"
    return f"{human_duration((time.time() if now is None else now) - seconds)} ago"
