"""Times as Docker's API writes and reads them: RFC 3339 with nanoseconds, unix seconds, Go durations."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from corten.errors import InvalidArgument

ZERO = "0001-01-01T00:00:00Z"
"""Go's zero time: what the API says for "never"."""

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def now() -> int:
    """Nanoseconds since the epoch."""
    return time.time_ns()


def rfc3339(nanoseconds: int) -> str:
    """`nanoseconds` since the epoch as RFC 3339 in UTC; 0 is Go's zero time."""
    if nanoseconds == 0:
        return ZERO
    seconds, rest = divmod(nanoseconds, _SECOND)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:09}Z"


def parse_duration(text: str) -> int:
    """A Go duration ("1h30m", "250ms") in nanoseconds."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return 0
    position, total = 0, 0.0
    while match := _DURATION.match(body, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position == 0 or position != len(body):
        raise InvalidArgument(f'time: invalid duration "{text}"')
    return sign * round(total)


def parse_time(text: str, *, reference: int | None = None) -> int:
    """A moment in ns since the epoch: unix seconds ("1700000000.5"), RFC 3339, or a duration before now."""
    if re.fullmatch(r"-?\d+(\.\d*)?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * _SECOND + int((fraction + "0" * 9)[:9])
    try:
        return (now() if reference is None else reference) - parse_duration(text)
    except InvalidArgument:
        pass
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d(?::\d\d(?::\d\d)?)?)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?", text
    )
    if not match:
        raise InvalidArgument(f'invalid time "{text}": use unix seconds, RFC 3339, or a duration such as 10m')
    clock = (match[2] or "00") + ":00:00"[: 8 - len(match[2] or "00")]
    zone = "+00:00" if match[4] in (None, "Z") else match[4]
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{clock}{zone}").astimezone(UTC)
    except ValueError as error:
        raise InvalidArgument(f'invalid time "{text}": {error}') from error
    rest = int(((match[3] or ".0")[1:] + "0" * 9)[:9])
    return int(moment.timestamp()) * _SECOND + rest


def since_words(nanoseconds: int) -> str:
    """A span as Docker's ps says it: "Less than a second", "3 seconds", "About an hour", "2 days"."""
    seconds = nanoseconds // _SECOND
    minutes, hours = seconds // 60, round(seconds / 3600)
    for limit, words in (
        (seconds < 1, "Less than a second"),
        (seconds == 1, "1 second"),
        (seconds < 60, f"{seconds} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 14, f"{hours // 24} days"),
        (hours < 24 * 60, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    ):
        if limit:
            return words
    return f"{hours // 24 // 365} years"
