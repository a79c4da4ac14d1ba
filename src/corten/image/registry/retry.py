"""When a request is tried again: exponential back-off with jitter, and what Retry-After says."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be different the next time."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds. The nth wait lies between half and all of `base` * 2^n, at most `cap`; a Retry-After of more
    than `longest` is not waited for."""

    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    longest: float = 60.0
    progress: int = 1 << 20
    """A body that got this many bytes further may break again without using up an attempt."""

    def delay(self, attempt: int, retry_after: str | None = None) -> float | None:
        """How long to wait after the failed `attempt` (the first is 0); None to give up."""
        if attempt + 1 >= self.attempts:
            return None
        backoff = min(self.base * 2.0**attempt, self.cap) * random.uniform(0.5, 1.0)
        if retry_after is None:
            return backoff
        told = seconds_of(retry_after)
        if told is None:
            return backoff
        return max(told, backoff) if told <= self.longest else None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect; without an answer or a byte; and `least` bytes must come in each `stall`."""

    connect: float = 15.0
    stall: float = 60.0
    least: int = 4096


def seconds_of(retry_after: str) -> float | None:
    """Retry-After in seconds, from either of its forms; None when it is neither."""
    text = retry_after.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return max(0.0, moment.timestamp() - time.time())
