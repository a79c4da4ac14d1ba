"""Numbers, durations and truth values in the notation of Go's libraries, which Dockerfiles use."""

from __future__ import annotations

import math
import re

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = re.compile(r"(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(ns|us|µs|μs|ms|s|m|h)")
_MAX_INT64 = (1 << 63) - 1

_SIZE = re.compile(r"([^\n]*[0-9.]) ?([^0-9. ]{0,3})")
_SIZE_NUMBER = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SIZE_UNITS = "bkmgtp"


def parse_bool(text: str) -> bool:
    """Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def parse_unsigned(text: str, base: int) -> int:
    """A number of up to 32 bits without a sign. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 64):
        raise ValueError(f"{text!r} is not a number")
    value = int(text, base)
    if value >= 1 << 32:
        raise ValueError(f"{text} is out of range")
    return value


def parse_signed(text: str) -> int:
    """A decimal number of up to 32 bits, with or without a sign. Raises ValueError."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 64):
        raise ValueError(f"{text!r} is not a number")
    value = int(text)
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"{text} is out of range")
    return value


def parse_duration(text: str) -> int:
    """`1h15m30.918s` in nanoseconds (time.ParseDuration). Raises ValueError."""
    negative = text.startswith("-")
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total = position = 0
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        if match is None:
            raise ValueError(f"invalid duration {text!r}")
        whole = (match[1] or "").lstrip("0")
        fraction = (match[2] or match[3] or "")[:19]
        if int(fraction[:18] or "0") > _MAX_INT64 // 10:
            fraction = fraction[:18]
        unit = _UNITS[match[4]]
        total += int(whole[:20] or "0") * unit
        if fraction:
            total += int(int(fraction) * (unit / 10 ** len(fraction)))
        if total > _MAX_INT64:
            raise ValueError(f"invalid duration {text!r}: it is out of range")
        position = match.end()
    if not body:
        raise ValueError(f"invalid duration {text!r}")
    return -total if negative else total


def format_duration(nanoseconds: int) -> str:
    """As short as Go writes it, for messages: `1ms`, `1h0m5s`."""
    if nanoseconds < 1_000_000_000:
        for unit in ("ms", "µs"):
            if nanoseconds >= _UNITS[unit]:
                return f"{nanoseconds / _UNITS[unit]:g}{unit}"
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / _UNITS['s']:g}s"
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds


def parse_size(text: str) -> int:
    """`64m`, `1.5 GiB` in bytes; every unit is a power of 1024 (units.RAMInBytes). Raises ValueError."""
    match = _SIZE.fullmatch(text)
    unit = match[2].lower() if match else ""
    if match is None or not _SIZE_NUMBER.fullmatch(match[1]) or unit not in _SIZE_SUFFIXES:
        raise ValueError(f"invalid size {text!r}")
    value = float(match[1]) * _SIZE_SUFFIXES[unit]
    if math.isinf(value) or value > _MAX_INT64:
        raise ValueError(f"size {text!r} is out of range")
    return int(value)


_SIZE_SUFFIXES = {"": 1, "b": 1} | {
    letter + rest: 1 << (10 * power)
    for power, letter in enumerate(_SIZE_UNITS)
    if power
    for rest in ("", "b", "ib")
}
