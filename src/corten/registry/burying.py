"""Deletes bytes that no row needs any more, and forgets them when they are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor

from corten.errors import CortenError
from corten.registry.blobs.store import BlobStore, upload_in
from corten.registry.metadata.records import Doomed
from corten.registry.metadata.store import Metadata

_LOG = logging.getLogger("corten.registry")
AT_ONCE = 8


async def bury(
    metadata: Metadata, blobs: BlobStore, doomed: Sequence[Doomed], threads: Executor | None = None
) -> list[Doomed]:
    """Deletes; returns what is gone. What the store cannot delete now stays written down, for later."""
    loop = asyncio.get_running_loop()

    async def delete(entry: Doomed) -> bool:
        upload = upload_in(entry.location)
        try:
            if upload:
                await loop.run_in_executor(threads, blobs.discard, upload)
            else:
                await loop.run_in_executor(threads, blobs.delete, entry.location)
        except CortenError as error:
            _LOG.warning("cannot delete %s: %s; trying again later", entry.location, error.message)
            await metadata.not_deleted(entry.location)
            return False
        return True

    gone: list[Doomed] = []
    for begin in range(0, len(doomed), AT_ONCE):
        part = doomed[begin : begin + AT_ONCE]
        done = await asyncio.gather(*(delete(entry) for entry in part))
        gone += [entry for entry, deleted in zip(part, done, strict=True) if deleted]
    if gone:
        await metadata.deleted([entry.location for entry in gone])
    return gone
