"""Facts of manifests that nobody has looked at yet: made when somebody looks at the page, and not when they
are pushed or pulled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from corten.errors import CortenError
from corten.registry.blobs.store import BlobStore, is_lost
from corten.registry.metadata.browser import Browser
from corten.registry.metadata.browsing_records import Facts, Payload
from corten.registry.page.document import MOST_CHILDREN, Descriptor, decode_document
from corten.registry.page.facts import MOST_CONFIG, facts_of

_LOG = logging.getLogger("corten.registry")
BATCH = 50


class Describer:
    """One process's. Two that describe the same manifest write the same."""

    def __init__(self, browser: Browser, blobs: BlobStore) -> None:
        self._browser = browser
        self._blobs = blobs
        self._running: asyncio.Task[None] | None = None

    async def catch_up(self, seconds: float) -> int:
        """Describes what waits, for at most so long, and goes on behind; how many are left."""
        left = await self._browser.undescribed_count()
        if not left:
            return 0
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._describe_all())
        await asyncio.wait([self._running], timeout=seconds)
        return await self._browser.undescribed_count()

    async def describe(self, digests: Sequence[str]) -> dict[str, Facts]:
        """Facts of these now; those that are not there are left out."""
        payloads = await self._browser.payloads_of(digests)
        children = {entry for found in payloads.values() for entry in _children(found)}
        known = {**payloads, **await self._browser.payloads_of(sorted(children - set(payloads)))}
        facts = await asyncio.to_thread(
            lambda: [facts_of(found, known, self._blob) for found in payloads.values()]
        )
        await self._browser.put_facts(facts, digests)
        return {entry.digest: entry for entry in facts}

    async def _describe_all(self) -> None:
        try:
            while digests := await self._browser.undescribed(BATCH):
                await self.describe(digests)
        except CortenError as error:
            _LOG.warning("the page's search: %s; trying again later", error.message)

    def _blob(self, descriptor: Descriptor) -> bytes | None:
        # Called in a thread: the browser's own threads answer.
        found = self._browser.blob_locations_now([descriptor.digest]).get(descriptor.digest)
        if found is None or is_lost(found[0]) or found[1] > MOST_CONFIG:
            return None
        return b"".join(self._blobs.read(found[0]))

    async def close(self) -> None:
        """Ends what goes on behind."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])


def _children(found: Payload) -> list[str]:
    try:
        entries = decode_document(found.payload).manifests or []
    except CortenError:
        return []
    return [entry.digest for entry in entries[:MOST_CHILDREN]]
