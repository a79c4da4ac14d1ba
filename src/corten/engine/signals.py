"""Signals by name or number, as `kill` and the stop signal write them."""

from __future__ import annotations

import signal

from corten.errors import InvalidArgument


def parse_signal(text: str) -> int:
    """ "SIGTERM", "term", "15", "RTMIN+3" → its number; InvalidArgument, in Docker's words, otherwise."""
    name = text.strip().upper()
    if name.isdigit():
        number = int(name)
        if 1 <= number <= 64:
            return number
        raise InvalidArgument(f"Invalid signal: {text}")
    name = name.removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if not plus:
        base, minus, offset = name.partition("-")
        sign = -1 if minus else 1
    else:
        sign = 1
    if base in ("RTMIN", "RTMAX") and (not offset or offset.isdigit()):
        number = (signal.SIGRTMIN if base == "RTMIN" else signal.SIGRTMAX) + sign * int(offset or 0)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    elif not offset and "SIG" + base in signal.Signals.__members__:
        return int(signal.Signals["SIG" + base])
    raise InvalidArgument(f"Invalid signal: {text}")
