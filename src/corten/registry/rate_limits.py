"""Rate limits, shared by the workers of a machine.

A bucket of tokens is one number: the moment at which it will be full again (the "theoretical arrival time" of
the generic cell rate algorithm, ITU-T I.371). So the buckets of all callers are a table of a fixed size in
memory that the workers share: no caller, however many names and addresses it has, makes it grow. Two
workers that take from one bucket in the same microsecond may both get its last token.
"""

from __future__ import annotations

import ipaddress
import mmap
import time
from collections.abc import Sequence

from aiohttp import web

from corten.registry.access import Identity
from corten.registry.errors import Code, RegistryError
from corten.registry.sections import Network, Rate, Rates, parse_rate

BUCKETS = 1 << 16
PROBED = 8
"""Places where a key's bucket may be. When others have all of them, it shares the one that is full
soonest."""


class Buckets:
    """The table: a key's fingerprint and its moment in each place. Made before workers are forked."""

    def __init__(self, size: int = BUCKETS) -> None:
        self._size = size
        self._keys = memoryview(mmap.mmap(-1, (size + PROBED) * 8)).cast("q")
        self._moments = memoryview(mmap.mmap(-1, (size + PROBED) * 8)).cast("d")

    def take(self, key: tuple[str, ...], rate: Rate, now: float) -> float:
        """Takes a token: 0, or in how many seconds there will be one."""
        place = self._place(key, now)
        each = rate.seconds / rate.requests
        full = max(self._moments[place], now)
        wait = full + each - rate.seconds - now
        if wait > 1e-9:
            return wait
        self._moments[place] = full + each
        return 0.0

    def wait(self, key: tuple[str, ...], rate: Rate, now: float) -> float:
        """In how many seconds there will be a token; takes none."""
        full = max(self._moments[self._place(key, now)], now)
        wait = full + rate.seconds / rate.requests - rate.seconds - now
        return wait if wait > 1e-9 else 0.0

    def _place(self, key: tuple[str, ...], now: float) -> int:
        # Strings' hashes have a secret in them, which forked processes share.
        fingerprint = hash(key)
        first = fingerprint % self._size
        keys, moments = self._keys, self._moments
        for place in range(first, first + PROBED):
            if keys[place] == fingerprint:
                return place
        for place in range(first, first + PROBED):
            if moments[place] <= now:  # full: nobody misses it
                keys[place] = fingerprint
                moments[place] = 0.0
                return place
        return min(range(first, first + PROBED), key=moments.__getitem__)


class RateLimits:
    """Asks the buckets for those classes of requests that have a limit."""

    def __init__(self, rates: Rates, buckets: Buckets) -> None:
        self._buckets = buckets
        self._pulls = parse_rate(rates.pulls)
        self._pushes = parse_rate(rates.pushes)
        self._sign_ins = parse_rate(rates.sign_ins)

    @property
    def pulls(self) -> bool:
        """Whether pulls have a limit."""
        return self._pulls is not None

    @property
    def pushes(self) -> bool:
        return self._pushes is not None

    @property
    def sign_ins(self) -> bool:
        return self._sign_ins is not None

    def pull(self, identity: Identity, address: str) -> None:
        """A manifest is read. TOOMANYREQUESTS."""
        if self._pulls is not None:
            self._take("pulls", identity, address, self._pulls)

    def push(self, identity: Identity, address: str) -> None:
        """Something is written. TOOMANYREQUESTS."""
        if self._pushes is not None:
            self._take("pushes", identity, address, self._pushes)

    def sign_in(self, address: str) -> None:
        """Somebody shows a name and a password, or a token. TOOMANYREQUESTS when too many were refused."""
        rate = self._sign_ins
        if rate is not None and (wait := self._buckets.wait(("sign-ins", address), rate, time.monotonic())):
            raise _too_many("refused sign-ins", rate, wait)

    def refused(self, address: str) -> None:
        """A sign-in was refused."""
        if self._sign_ins is not None:
            self._buckets.take(("sign-ins", address), self._sign_ins, time.monotonic())

    def _take(self, what: str, identity: Identity, address: str, rate: Rate) -> None:
        key = (what, "identity", identity.name) if identity.name else (what, "address", address)
        if wait := self._buckets.take(key, rate, time.monotonic()):
            raise _too_many(what, rate, wait)


def _too_many(what: str, rate: Rate, wait: float) -> RegistryError:
    seconds = max(1, int(wait + 0.999))
    return RegistryError(
        Code.TOOMANYREQUESTS,
        f"too many {what}: {rate.requests} in {rate.seconds} s are allowed; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


class Addresses:
    """Who a client is, seen through proxies that are trusted."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    @property
    def has_proxies(self) -> bool:
        """Whether any proxy is trusted."""
        return bool(self._trusted)

    def of(self, request: web.BaseRequest) -> str:
        """The client's address. X-Forwarded-For counts only from trusted proxies, and only up to the first
        address from its end that is none of them: what is before that, the client may have invented."""
        remote = request.remote or ""
        if not self._trusted or not self._trusts(remote):
            return remote
        for entry in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
            address = _bare(entry.strip())
            if not address:
                break
            remote = address
            if not self._trusts(address):
                break
        return remote

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._trusted)


def _bare(text: str) -> str:
    """An address without brackets and port; "" when it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def limited_as(address: str) -> str:
    """Whose bucket an address takes from: in IPv6 its network of 64 bits, which is one customer's."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
