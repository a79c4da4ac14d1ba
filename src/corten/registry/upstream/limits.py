"""How long an upstream is not to be asked, for all replicas: after a 429 (Retry-After, RFC 9110, section
10.2.3), when nothing remains of what it grants (RateLimit-Remaining, as Docker Hub sends it), and, for
checks that a copy can do without, for a moment after it did not answer."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from corten.image.registry.answer import RateLimited
from corten.image.registry.retry import seconds_of
from corten.registry.metadata.records import Pause
from corten.registry.metadata.store import Metadata

ALL = "all"
"""It answered 429: nothing is asked."""
MANIFESTS = "manifests"
"""The last grant was used: no manifest is asked for. What belongs to those that came may be fetched."""
CHECKS = "checks"
"""It did not answer: a tag that is here is not checked."""
UNTOLD_SECONDS = 60.0
"""How long, where it does not say so."""
DOWN_SECONDS = 10.0
MOST_SECONDS = 86_400.0
_COUNT = re.compile(r"\s*(\d{1,15})\s*(?:;|,|$)")


class Paused(RateLimited):
    """It was not asked, because it has said so before."""


class Limits:
    """Of one upstream. Pauses are written down in the database, where other replicas find them."""

    def __init__(self, metadata: Metadata, name: str) -> None:
        self._metadata = metadata
        self._name = name
        self._known: dict[str, Pause] = {}

    async def check(self, kind: str) -> None:
        """Paused when `kind` is not to be asked for now."""
        pause = await self._paused(ALL, kind)
        if pause is not None:
            seconds = max(1, math.ceil(pause.until / 1000 - time.time()))
            raise Paused(pause.reason, seconds)

    async def skips_checks(self) -> bool:
        """Whether it did not answer a moment ago."""
        return await self._paused(CHECKS) is not None

    async def _paused(self, *kinds: str) -> Pause | None:
        now = time.time() * 1000
        if not any(self._is_on(kind, now) for kind in kinds):
            self._known = {pause.kind: pause for pause in await self._metadata.pauses(self._name)}
        return next((self._known[kind] for kind in kinds if self._is_on(kind, now)), None)

    def _is_on(self, kind: str, now: float) -> bool:
        return kind in self._known and self._known[kind].until > now

    async def hit(self, error: RateLimited) -> None:
        """It has answered 429."""
        await self._add(ALL, UNTOLD_SECONDS if error.seconds is None else error.seconds, error.message)

    async def observe(self, headers: Mapping[str, str]) -> None:
        """What an answer tells of how much may be asked still."""
        if _count(headers.get("RateLimit-Remaining", "")) == 0:
            told = seconds_of(headers.get("RateLimit-Reset", ""))
            seconds = UNTOLD_SECONDS if told is None else told
            await self._add(MANIFESTS, seconds, f"{self._name} grants no more requests for now")

    async def down(self, reason: str) -> None:
        """It did not answer."""
        await self._add(CHECKS, DOWN_SECONDS, reason)

    async def _add(self, kind: str, seconds: float, reason: str) -> None:
        until = int((time.time() + min(max(seconds, 0.0), MOST_SECONDS)) * 1000)
        pause = Pause(kind, until, reason)
        self._known[kind] = pause
        await self._metadata.pause(self._name, pause)


def _count(text: str) -> int | None:
    """The number in `76;w=21600` or `76`."""
    found = _COUNT.match(text)
    return int(found[1]) if found is not None else None
