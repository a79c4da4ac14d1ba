"""Wrong passwords cost time: the more of them, the longer the pause before the next one is looked at.

Counted in each process: for an account from one address, for an address, and for an account from everywhere.
The last one pauses for seconds at most, so that nobody can lock somebody else out for long. Who has signed in
already is not touched: that is remembered (`sign_in.py`).
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

FORGOTTEN_SECONDS = 900.0
REMEMBERED = 20_000


class Rule(msgspec.Struct, frozen=True):
    """So many failures are free; then a second, doubled with each failure, up to `longest`."""

    free: int
    longest: float


PAIR = Rule(5, 60)
ADDRESS = Rule(30, 60)
ACCOUNT = Rule(100, 5)


class _Failures(msgspec.Struct):
    count: int = 0
    last: float = 0.0


class Attempts:
    """Failures by account and address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def begin(self, account: str, address: str) -> float:
        """Counts an attempt as a failure, until `succeeded`; or the seconds in which none is looked at."""
        now = self._clock()
        keys = _keys(account, address)
        pause = max(self._pause(key, rule, now) for key, rule in keys)
        if pause > 0:
            return pause
        for key, _rule in keys:
            failures = self._found.setdefault(key, _Failures())
            failures.count += 1
            failures.last = now
            self._found.move_to_end(key)
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """The attempt was none to guess."""
        (pair, _), *others = _keys(account, address)
        self._found.pop(pair, None)
        for key, _rule in others:
            if key in self._found:
                self._found[key].count -= 1

    def _pause(self, key: tuple[str, str], rule: Rule, now: float) -> float:
        failures = self._found.get(key)
        if failures is None:
            return 0.0
        if now - failures.last > FORGOTTEN_SECONDS:
            del self._found[key]
            return 0.0
        over = failures.count - rule.free
        if over < 0:
            return 0.0
        return failures.last + min(2.0 ** min(over, 16), rule.longest) - now


def _keys(account: str, address: str) -> tuple[tuple[tuple[str, str], Rule], ...]:
    where = network_of(address)
    return ((account, where), PAIR), (("", where), ADDRESS), ((account, ""), ACCOUNT)


def network_of(address: str) -> str:
    """The address; of IPv6, what one site has (/64)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((found, 64), strict=False).network_address)
