"""Which caches a request has come through, by its Via header (RFC 9110, section 7.6.3). Caches that stand
behind each other in a ring notice by it that a request comes back, where they would wait for each other."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import NamedTuple

MOST = 16
"""So many caches are told to the next one, the last that a request came through: rings of up to so many are
noticed. Anybody may write down names, so that their number says nothing."""
_NAME = re.compile(r"\bcorten-[0-9a-f]{32}\b")


class Hops(NamedTuple):
    """The names of the caches, of this kind only: what proxies write down of themselves does not matter."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterable[str]) -> Hops:
        """Those that a request's Via headers name.

        >>> Hops.of(["1.1 proxy, 1.1 corten-0123456789abcdef0123456789abcdef"]).names
        ('corten-0123456789abcdef0123456789abcdef',)
        """
        return cls(tuple(_NAME.findall(", ".join(values))))

    def comes_back(self, own: str) -> bool:
        """Whether the cache `own` is one of them."""
        return own in self.names

    def via(self, own: str) -> str:
        """The header of what `own` asks because of this."""
        return ", ".join(f"1.1 {name}" for name in (*self.names, own)[-MOST:])


def new_name() -> str:
    """A name that no other cache has."""
    return f"corten-{secrets.token_hex(16)}"
