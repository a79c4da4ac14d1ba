"""`corten registry check`: is everything there that metadata promises, and is nothing there that it does
not know?

What is looked at, in this order: every blob's bytes; every manifest's bytes, and whether what it needs is
written down and in its repository; what nothing needs and nothing will collect; bytes that nothing knows of.
A copy from an upstream registry may lack what it needs: that is fetched when it is asked for.

With `repair` bytes that are gone or spoilt are given up: an upload of the same digest brings them again, and
where another file of the storage has them already (a restored backup may name an older place), that one is
taken.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import time
from collections.abc import AsyncIterator

import msgspec

from corten.errors import CortenError
from corten.oci.digest import algorithm_of
from corten.registry.blobs.store import (
    BlobStore,
    Stored,
    digest_in,
    is_lost,
    upload_in,
    upload_location,
)
from corten.registry.burying import bury
from corten.registry.errors import RegistryError
from corten.registry.manifest import read_manifest
from corten.registry.metadata.records import CheckedManifest, Doomed, StoredBlob
from corten.registry.metadata.store import Metadata

PAGE = 500
AT_ONCE = 8
NAMED = 3
"""How many of the images that need what is missing are named."""


class Problem(enum.Enum):
    """What can be wrong."""

    MISSING = "its bytes are not in the storage"
    SIZE = "its bytes have another size"
    CONTENT = "its bytes have another digest"
    MANIFEST = "the manifest's bytes have another digest"
    REFERENCE = "a manifest needs it, and the repository does not have it"
    UNPROTECTED = "a manifest needs it, and the collector does not know"
    FORGOTTEN = "nothing needs it, and the collector will not look at it"
    ORPHAN = "nothing knows of these bytes"


BYTES = frozenset({Problem.MISSING, Problem.SIZE, Problem.CONTENT})
"""Problems that an upload of the same blob mends."""


class Finding(msgspec.Struct, frozen=True):
    """One problem. `what` is a digest, a location, or `repository: manifest → target`.

    `needed_by` are images that cannot be pulled because of it, some of `needed` manifests.
    """

    problem: Problem
    what: str
    size: int = 0
    repaired: bool = False
    needed_by: tuple[str, ...] = ()
    needed: int = 0


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
        self._before = int((time.time() - settle) * 1000)

    async def run(self) -> AsyncIterator[Finding]:
        """Every problem that is found, as it is found."""
        lost: dict[str, Finding] = {}
        async for finding in self.blobs():
            if self._repair:
                lost[finding.what] = finding  # its bytes may lie elsewhere
            else:
                yield finding
        for part in (self._manifests(), self._references(), self._forgotten(), self._orphans(lost)):
            async for finding in part:
                yield finding
        for finding in lost.values():
            yield finding

    async def blobs(self) -> AsyncIterator[Finding]:
        """The blobs whose bytes are not what they should be."""
        after = ""
        while rows := await self._metadata.stored_blobs(after, PAGE):
            for begin in range(0, len(rows), AT_ONCE):
                part = rows[begin : begin + AT_ONCE]
                found = await asyncio.gather(*(asyncio.to_thread(self._look_at, row) for row in part))
                for row, problem in zip(part, found, strict=True):
                    if problem is None or not await self._is_still(row):
                        continue
                    if self._repair and not is_lost(row.location):
                        await self._metadata.lose_blob(row)
                    names, number = await self._metadata.needed_by(row.digest, NAMED)
                    yield Finding(problem, row.digest, row.size, needed_by=tuple(names), needed=number)
            after = rows[-1].digest

    def _look_at(self, row: StoredBlob) -> Problem | None:
        size = self._blobs.size(row.location) if not is_lost(row.location) else None
        if size is None:
            return Problem.MISSING
        if size != row.size:
            return Problem.SIZE
        if self._read_all and not self._is_content(row.location, row.digest):
            return Problem.CONTENT
        return None

    def _is_content(self, location: str, expected: str) -> bool:
        digest = hashlib.new(algorithm_of(expected))
        for piece in self._blobs.read(location):
            digest.update(piece)
        return f"{digest.name}:{digest.hexdigest()}" == expected

    async def _is_still(self, row: StoredBlob) -> bool:
        """Whether the row is there after its bytes were looked at: it may have been collected meanwhile."""
        return await self._metadata.is_stored(row)

    async def _manifests(self) -> AsyncIterator[Finding]:
        after: CheckedManifest | None = None
        while rows := await self._metadata.checked_manifests(after, PAGE):
            for row in rows:
                actual = hashlib.new(algorithm_of(row.digest), row.payload)
                if f"{actual.name}:{actual.hexdigest()}" != row.digest:
                    yield Finding(Problem.MANIFEST, f"{row.repository}@{row.digest}", len(row.payload))
                    continue
                async for finding in self._unprotected(row):
                    yield finding
            after = rows[-1]

    async def _unprotected(self, row: CheckedManifest) -> AsyncIterator[Finding]:
        """Blobs that could be collected although the manifest needs them."""
        try:
            read = read_manifest(row.payload, row.media_type, row.digest, len(row.payload))
        except RegistryError:
            return  # it was taken by other rules; what it needs was written down then
        missing = [
            reference.digest
            for reference in read.references
            if not (reference.is_manifest or reference.optional or reference.digest in row.needed)
        ]
        if not missing:
            return
        here = await self._metadata.linked(row.key, missing)
        targets = [target for target in missing if target in here]
        repaired = bool(targets) and self._repair
        if repaired:
            repaired = await self._metadata.note_references(row.repository, row.digest, targets)
        for target in targets:
            what = f"{row.repository}: {row.digest} → {target}"
            yield Finding(Problem.UNPROTECTED, what, repaired=repaired)

    async def _references(self) -> AsyncIterator[Finding]:
        after = None
        while rows := await self._metadata.broken_references(after, PAGE):
            for row in rows:
                repaired = self._repair and await self._metadata.link_again(row)
                what = f"{row.repository}: {row.manifest} → {row.target}"
                yield Finding(Problem.REFERENCE, what, repaired=repaired)
            after = rows[-1]

    async def _forgotten(self) -> AsyncIterator[Finding]:
        link = None
        while links := await self._metadata.forgotten_links(link, self._before, PAGE):
            for link in links:
                if self._repair:
                    await self._metadata.suspect(link)
                what = f"{link.repository}: {link.digest}"
                yield Finding(Problem.FORGOTTEN, what, link.size, repaired=self._repair)
        after = ""
        while blobs := await self._metadata.unlinked_blobs(after, self._before, PAGE):
            for digest, size in blobs:
                if self._repair:
                    await self._metadata.drop_unlinked(digest)
                yield Finding(Problem.FORGOTTEN, digest, size, repaired=self._repair)
            after = blobs[-1][0]

    async def _orphans(self, lost: dict[str, Finding]) -> AsyncIterator[Finding]:
        page: list[Stored] = []
        entries = self._blobs.list()
        while True:
            entry = await asyncio.to_thread(next, entries, None)
            if entry is not None:
                if digest_in(entry.location) in lost or entry.modified < time.time() - self._settle:
                    page.append(entry)
                if len(page) < PAGE:
                    continue
            async for finding in self._orphans_in(page, lost):
                yield finding
            page = []
            if entry is None:
                return

    async def _orphans_in(self, page: list[Stored], lost: dict[str, Finding]) -> AsyncIterator[Finding]:
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
            if await self._is_what_was_lost(entry, lost):
                found = lost.pop(digest_in(entry.location))
                yield msgspec.structs.replace(found, repaired=True)
                continue
            if entry.modified >= time.time() - self._settle:
                continue
            repaired = self._repair and await self._delete(entry)
            yield Finding(Problem.ORPHAN, entry.location, entry.size, repaired)

    async def _is_what_was_lost(self, entry: Stored, lost: dict[str, Finding]) -> bool:
        digest = digest_in(entry.location)
        if digest not in lost or not await asyncio.to_thread(self._is_content, entry.location, digest):
            return False
        return await self._metadata.find_blob(digest, entry.size, entry.location)

    async def _delete(self, entry: Stored) -> bool:
        upload = upload_in(entry.location)
        location = upload_location(upload) if upload else entry.location
        doomed = Doomed(location, "" if upload else "orphan", entry.size)
        await self._metadata.doom([doomed])
        try:
            await bury(self._metadata, self._blobs, [doomed])
        except CortenError:
            return False
        return True

    async def _is_being_finished(self, location: str) -> bool:
        """Whether a blob's location belongs to an upload that is there: its commit may be about to come."""
        upload = location.rpartition(".")[2]
        return bool(await self._metadata.open_uploads([upload]))
