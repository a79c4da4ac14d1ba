"""What a scrape is answered with: what the workers have counted, and what the database says is stored."""

from __future__ import annotations

import asyncio
import time

from corten.errors import CortenError
from corten.registry.counters import SharedCounters, Totals
from corten.registry.metadata.records import Stored
from corten.registry.metadata.store import Metadata
from corten.registry.sections import MetricsServing


class Metrics:
    """Answers scrapes. The database is asked at most every `storage-seconds`, by one scrape at a time."""

    def __init__(self, counters: SharedCounters, metadata: Metadata, settings: MetricsServing) -> None:
        self._counters = counters
        self._metadata = metadata
        self._settings = settings
        self._turn = asyncio.Lock()
        self._asked = float("-inf")
        self._stored: Stored | None = None
        self._sizes: list[tuple[str, int]] = []

    async def text(self) -> bytes:
        """The exposition format, in UTF-8."""
        await self._ask()
        totals = self._counters.totals()
        return await asyncio.to_thread(_render, totals, self._stored, self._sizes)

    async def _ask(self) -> None:
        async with self._turn:
            if time.monotonic() - self._asked < self._settings.storage_seconds:
                return
            try:
                self._stored = await self._metadata.stored()
                if self._settings.repositories:
                    self._sizes = await self._metadata.repository_sizes()
            except CortenError:
                # A gap in a chart tells more than an old number.
                self._stored, self._sizes = None, []
                return
            self._asked = time.monotonic()


def _render(totals: Totals, stored: Stored | None, sizes: list[tuple[str, int]]) -> bytes:
    # Here, in a thread: the first scrape needs the library, and a registry without any never does.
    from corten.registry.exposition import exposition

    return exposition(totals, stored, sizes)
