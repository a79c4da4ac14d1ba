"""Which copies go: those that nobody has used for long, and the least recently used when there are too
many. What goes is removed like a manifest that is deleted, and the collector deletes what that leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence

from corten.errors import CortenError
from corten.registry.access import Identity
from corten.registry.audit import Audit, Record
from corten.registry.metadata.records import Evicted
from corten.registry.metadata.store import Metadata
from corten.registry.upstream.settings import Cache

_LOG = logging.getLogger("corten.registry")
LEASE = "eviction"
CACHE = Identity("(cache)")
BATCH = 50
RECENT_SECONDS = 60.0
"""What was used within this time stays: its blobs may be about to be asked for."""
_DAY_MS = 86_400_000


class Uses:
    """When manifests were last asked for: noted in memory, written down now and then."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._noted: dict[tuple[str, str], int] = {}

    def note(self, repository: str, digest: str) -> None:
        """A manifest is used now."""
        self._noted[repository, digest] = int(time.time() * 1000)

    async def write(self) -> None:
        """Writes down what was noted."""
        noted, self._noted = self._noted, {}
        entries = [(repository, digest, moment) for (repository, digest), moment in noted.items()]
        for begin in range(0, len(entries), BATCH):
            await self._metadata.note_uses(entries[begin : begin + BATCH])


class Evictor:
    """One replica's; a lease lets only one of them work at a time."""

    def __init__(
        self, metadata: Metadata, uses: Uses, audit: Audit, settings: Cache, interval: float, grace: float
    ) -> None:
        self._metadata = metadata
        self._audit = audit
        self._uses = uses
        self._settings = settings
        self._interval = interval or 0.1
        self._recent = int(min(RECENT_SECONDS, grace) * 1000)
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def run(self) -> None:
        """Evicts until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._uses.write()
                if await self._metadata.take_lease(LEASE, self._holder, 5 + 2 * self._interval):
                    await self.evict()
            except CortenError as error:
                _LOG.warning("eviction from the cache: %s; trying again", error.message)

    async def evict(self) -> list[Evicted]:
        """One run; what has gone."""
        settings = self._settings
        found: list[Evicted] = []
        now = int(time.time() * 1000)
        if settings.unused_days:
            before = now - max(int(settings.unused_days * _DAY_MS), self._recent)
            while gone := await self._metadata.evict_unused(before, BATCH):
                found += self._tell(gone, "nobody has used it for so long")
        if settings.max_bytes:
            while gone := await self._metadata.evict_surplus(settings.max_bytes, now - self._recent, BATCH):
                found += self._tell(gone, "the cache is larger than max-bytes")
        return found

    def _tell(self, gone: Sequence[Evicted], why: str) -> Sequence[Evicted]:
        for entry in gone:
            _LOG.info(
                "evicted %s@%s (%d bytes, last used at %s): %s",
                entry.repository,
                entry.digest,
                entry.size,
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.used / 1000)),
                why,
            )
            self._audit.record(Record(CACHE, "manifest.evict", entry.repository, entry.digest))
        return gone

    async def close(self) -> None:
        """Writes down what is left, and lets another replica work."""
        with contextlib.suppress(CortenError):
            await self._uses.write()
            await self._metadata.drop_lease(LEASE, self._holder)
