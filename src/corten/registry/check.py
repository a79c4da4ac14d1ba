"""`corten registry check`: is everything there that metadata promises, and is nothing there that it does
not know?"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import time
from collections.abc import AsyncIterator

import msgspec

from corten.errors import CortenError
from corten.oci.digest import algorithm_of
from corten.registry.blobs.store import BlobStore, Stored, is_lost, upload_in, upload_location
from corten.registry.burying import bury
from corten.registry.metadata.records import Doomed, StoredBlob
from corten.registry.metadata.store import Metadata

PAGE = 500


class Problem(enum.Enum):
    """What can be wrong."""

    MISSING = "its bytes are not in the storage"
    SIZE = "its bytes have another size"
    CONTENT = "its bytes have another digest"
    MANIFEST = "the manifest's bytes have another digest"
    REFERENCE = "a manifest needs it, and the repository does not have it"
    ORPHAN = "nothing knows of these bytes"


class Finding(msgspec.Struct, frozen=True):
    """One problem. `what` is a digest, a location, or `repository: manifest → target`."""

    problem: Problem
    what: str
    size: int = 0
    repaired: bool = False


class Checker:
    """Compares metadata and storage, also while the registry serves: what is younger than `settle` seconds
    is left alone."""

    def __init__(
        self, metadata: Metadata, blobs: BlobStore, *, settle: float, repair: bool, read_all: bool
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._settle = settle
        self._repair = repair
        self._read_all = read_all

    async def run(self) -> AsyncIterator[Finding]:
        """Every problem that is found, as it is found."""
        async for finding in self._check_blobs():
            yield finding
        async for finding in self._check_manifests():
            yield finding
        async for finding in self._check_orphans():
            yield finding

    async def _check_blobs(self) -> AsyncIterator[Finding]:
        after = ""
        while rows := await self._metadata.stored_blobs(after, PAGE):
            for row in rows:
                problem = await asyncio.to_thread(self._look_at, row)
                if problem is None or not await self._is_still(row):
                    continue
                if self._repair and not is_lost(row.location):
                    await self._metadata.lose_blob(row)
                yield Finding(problem, row.digest, row.size)
            after = rows[-1].digest

    def _look_at(self, row: StoredBlob) -> Problem | None:
        size = self._blobs.size(row.location) if not is_lost(row.location) else None
        if size is None:
            return Problem.MISSING
        if size != row.size:
            return Problem.SIZE
        if self._read_all:
            digest = hashlib.new(algorithm_of(row.digest))
            for piece in self._blobs.read(row.location):
                digest.update(piece)
            if f"{digest.name}:{digest.hexdigest()}" != row.digest:
                return Problem.CONTENT
        return None

    async def _is_still(self, row: StoredBlob) -> bool:
        """Whether the row is there after its bytes were looked at: it may have been collected meanwhile."""
        return row.location in await self._metadata.known_locations([row.location])

    async def _check_manifests(self) -> AsyncIterator[Finding]:
        after = ""
        while rows := await self._metadata.payloads(after, PAGE):
            for digest, payload in rows:
                actual = hashlib.new(algorithm_of(digest), payload)
                if f"{actual.name}:{actual.hexdigest()}" != digest:
                    yield Finding(Problem.MANIFEST, digest, len(payload))
            after = rows[-1][0]
        for repository, manifest, target in await self._metadata.broken_references(PAGE):
            yield Finding(Problem.REFERENCE, f"{repository}: {manifest} → {target}")

    async def _check_orphans(self) -> AsyncIterator[Finding]:
        page: list[Stored] = []
        entries = self._blobs.list()
        while True:
            entry = await asyncio.to_thread(next, entries, None)
            if entry is not None:
                if entry.modified < time.time() - self._settle:
                    page.append(entry)
                if len(page) < PAGE:
                    continue
            async for finding in self._orphans_in(page):
                yield finding
            page = []
            if entry is None:
                return

    async def _orphans_in(self, page: list[Stored]) -> AsyncIterator[Finding]:
        sessions = {upload for entry in page if (upload := upload_in(entry.location))}
        known = await self._metadata.known_locations(
            [entry.location for entry in page] + [upload_location(upload) for upload in sessions]
        )
        open_ = await self._metadata.open_uploads(list(sessions))
        for entry in page:
            upload = upload_in(entry.location)
            if upload in open_ or entry.location in known or (upload and upload_location(upload) in known):
                continue
            if await self._is_being_finished(entry.location):
                continue
            repaired = False
            if self._repair:
                location = upload_location(upload) if upload else entry.location
                doomed = Doomed(location, "" if upload else "orphan", entry.size)
                await self._metadata.doom([doomed])
                try:
                    await bury(self._metadata, self._blobs, [doomed])
                    repaired = True
                except CortenError:
                    repaired = False
            yield Finding(Problem.ORPHAN, entry.location, entry.size, repaired)

    async def _is_being_finished(self, location: str) -> bool:
        """Whether a blob's location belongs to an upload that is there: its commit may be about to come."""
        upload = location.rpartition(".")[2]
        return bool(await self._metadata.open_uploads([upload]))
