"""Garbage collection while pushes go on.

What may have become garbage is written down when it may have: a blob when it is linked without a
manifest (upload, mount), the blobs of a manifest when that is deleted. The collector looks at what is
due, a batch in a transaction, so its work grows with what changes and not with what is stored. A link
goes when no manifest needs it, no push was told of it within the grace, and no push into its repository
is under way that began before a manifest came (`metadata/collecting.py`). A blob that no repository has
is doomed in the same transaction; its bytes are deleted after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable

import msgspec

from corten.errors import CortenError
from corten.registry.access import Identity
from corten.registry.audit import Audit, NoAudit, Record
from corten.registry.blobs.store import BlobStore
from corten.registry.burying import bury
from corten.registry.config import Collection
from corten.registry.metadata.records import Reason
from corten.registry.metadata.store import Metadata
from corten.registry.uploads import left_behind

_LOG = logging.getLogger("corten.registry")
LEASE = "collector"
COLLECTOR = Identity("(collector)")


class Collected(msgspec.Struct):
    """What one run did."""

    uploads: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0


class Collector:
    """One replica's; a lease in the database lets only one of them work at a time."""

    def __init__(
        self,
        metadata: Metadata,
        blobs: BlobStore,
        settings: Collection,
        audit: Audit | None = None,
        who: Identity = COLLECTOR,
        done: Callable[[Collected], None] | None = None,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._settings = settings
        self._grace = int(settings.grace_seconds * 1000)
        self._longest = int(settings.upload_hours * 3_600_000)
        self._spare = int(settings.keep_deleted_hours * 3_600_000)
        self._audit = audit or NoAudit()
        self._who = who
        self._done = done
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def run(self) -> None:
        """Collects until it is cancelled."""
        while True:
            await asyncio.sleep(self._settings.interval_seconds or 0.1)
            try:
                if await self._metadata.take_lease(LEASE, self._holder, self._lease_seconds()):
                    done = await self.collect()
                    if self._done is not None:
                        self._done(done)
                    if done.links or done.blobs or done.uploads:
                        _LOG.info(
                            "collected: %d links, %d blobs, %d bytes, %d uploads that were given up",
                            done.links,
                            done.blobs,
                            done.bytes,
                            done.uploads,
                        )
            except CortenError as error:
                _LOG.warning("garbage collection: %s; trying again", error.message)

    def _lease_seconds(self) -> float:
        # Two that work at once do no harm, and only each other's work; so this need not be long.
        return 5 + 2 * self._settings.interval_seconds

    async def collect(self) -> Collected:
        """One run over all that is due."""
        done = Collected()
        batch = self._settings.batch
        while expired := await self._metadata.expire_uploads(self._longest, batch, left_behind):
            done.uploads += expired
        while True:
            looked, gone = await self._metadata.collect(self._grace, self._longest, batch, self._spare)
            done.links += gone
            await self._bury(done)
            if looked < batch:
                break
            await self._metadata.take_lease(LEASE, self._holder, self._lease_seconds())
        return done

    async def _bury(self, done: Collected) -> None:
        while doomed := await self._metadata.due_doomed(self._settings.batch):
            for entry in await bury(self._metadata, self._blobs, doomed):
                done.bytes += entry.size
                if entry.digest:
                    done.blobs += 1
                    self._audit.record(Record(self._who, "blob.collect", "", entry.digest))

    async def explain(self, limit: int) -> list[Reason]:
        """What a run would do with what it looks at, and why."""
        return await self._metadata.explain(self._grace, self._longest, limit)

    async def close(self) -> None:
        """Lets another replica collect."""
        with contextlib.suppress(CortenError):
            await self._metadata.drop_lease(LEASE, self._holder)
