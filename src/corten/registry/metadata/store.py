"""The metadata store: a Protocol for the rest of the registry, and its one implementation on SQL.

Every method is a transaction of its own. Errors: `Unavailable` when the database does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from corten.registry.metadata import checking, collecting, linking, listing, measuring, pushing, upstreams
from corten.registry.metadata.database import POOL, Database
from corten.registry.metadata.records import (
    Blob,
    BrokenReference,
    CachedReferrers,
    CachedTag,
    CheckedManifest,
    Doomed,
    Evicted,
    Link,
    Manifest,
    Missing,
    NewManifest,
    Pause,
    Reason,
    Referrer,
    Stored,
    StoredBlob,
    Upload,
)
from corten.registry.metadata.sqlite_reader import SqliteReader

P = ParamSpec("P")
R = TypeVar("R")


class Metadata(Protocol):
    """What the registry knows. Times are milliseconds, sizes bytes; see the functions of the same names for
    details."""

    async def manifest(self, repository: str, reference: str) -> Manifest | None:
        """By tag, or by digest."""
        ...

    async def blob(self, repository: str, digest: str) -> tuple[Blob, int] | None:
        """A blob that the repository has, and when a push was last told of it."""
        ...

    async def has_repository(self, repository: str) -> bool: ...

    async def tag_names(self, repository: str, after: str, limit: int) -> list[str]: ...

    async def repository_names(self, after: str, limit: int) -> list[str]: ...

    async def referrers(self, repository: str, subject: str) -> list[Referrer]: ...

    async def upload(self, repository: str, identity: str) -> Upload | None: ...

    async def put_manifest(
        self, repository: str, manifest: NewManifest, tags: Sequence[str]
    ) -> list[Missing]: ...

    async def delete_manifest(self, repository: str, digest: str) -> str | None: ...

    async def delete_tag(self, repository: str, tag: str) -> bool: ...

    async def begin_upload(self, upload: Upload) -> None: ...

    async def advance_upload(self, upload: Upload, offset: int, digest: str, state: str) -> bool: ...

    async def touch_upload(self, identity: str) -> None: ...

    async def aim_upload(self, identity: str, digest: str) -> bool: ...

    async def has_blob(self, digest: str) -> bool: ...

    async def finish_upload(
        self, upload: Upload, digest: str, size: int, location: str, grace: int, spare: Sequence[Doomed]
    ) -> Blob | None: ...

    async def drop_upload(self, identity: str, left: Sequence[Doomed]) -> bool: ...

    async def mount_blob(self, repository: str, digest: str, source: str, grace: int) -> Blob | None: ...

    async def repositories_with(self, digest: str, limit: int) -> list[str]: ...

    async def keep_blob(self, repository: str, digest: str) -> bool: ...

    async def unlink_blob(self, repository: str, digest: str) -> str | None: ...

    async def doom(self, left: Sequence[Doomed]) -> None: ...

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool: ...

    async def drop_lease(self, name: str, holder: str) -> None: ...

    async def expire_uploads(
        self, age: int, limit: int, left: Callable[[Upload], Sequence[Doomed]]
    ) -> int: ...

    async def collect(self, grace: int, longest: int, limit: int, spare: int = 0) -> tuple[int, int]: ...

    async def due_doomed(self, limit: int) -> list[Doomed]: ...

    async def deleted(self, locations: list[str]) -> None: ...

    async def not_deleted(self, location: str) -> None: ...

    async def explain(self, grace: int, longest: int, limit: int) -> list[Reason]: ...

    async def stored_blobs(self, after: str, limit: int) -> list[StoredBlob]: ...

    async def lose_blob(self, found: StoredBlob) -> bool: ...

    async def known_locations(self, locations: list[str]) -> set[str]: ...

    async def open_uploads(self, identities: list[str]) -> set[str]: ...

    async def is_stored(self, found: StoredBlob) -> bool: ...

    async def needed_by(self, digest: str, limit: int) -> tuple[list[str], int]: ...

    async def find_blob(self, digest: str, size: int, location: str) -> bool: ...

    async def checked_manifests(self, after: CheckedManifest | None, limit: int) -> list[CheckedManifest]: ...

    async def linked(self, key: int, digests: Sequence[str]) -> set[str]: ...

    async def note_references(self, repository: str, manifest: str, targets: Sequence[str]) -> bool: ...

    async def broken_references(self, after: BrokenReference | None, limit: int) -> list[BrokenReference]: ...

    async def link_again(self, reference: BrokenReference) -> bool: ...

    async def forgotten_links(self, after: Link | None, before: int, limit: int) -> list[Link]: ...

    async def suspect(self, found: Link) -> None: ...

    async def unlinked_blobs(self, after: str, before: int, limit: int) -> list[tuple[str, int]]: ...

    async def drop_unlinked(self, digest: str) -> None: ...

    async def payloads(self, after: str, limit: int) -> list[tuple[str, bytes]]: ...

    async def stored(self) -> Stored: ...

    async def repository_sizes(self) -> list[tuple[str, int]]: ...

    async def cached_tag(self, repository: str, tag: str) -> CachedTag | None: ...

    async def put_cached_manifest(
        self, repository: str, manifest: NewManifest, upstream: str, tag: str, etag: str
    ) -> bool: ...

    async def confirm_cached_tag(self, repository: str, tag: str, digest: str) -> None: ...

    async def drop_cached_tag(self, repository: str, tag: str) -> None: ...

    async def cached_referrers(self, repository: str, subject: str) -> CachedReferrers | None: ...

    async def put_cached_referrers(
        self, repository: str, subject: str, found: Sequence[Referrer]
    ) -> None: ...

    async def was_pushed(self, repository: str, digest: str) -> bool: ...

    async def instance_name(self, new: str) -> str: ...

    async def needed_from_upstream(self, repository: str, digest: str) -> tuple[str, bytes] | None: ...

    async def note_uses(self, uses: Sequence[tuple[str, str, int]]) -> None: ...

    async def lease(self, name: str) -> tuple[str, int] | None: ...

    async def pauses(self, upstream: str) -> list[Pause]: ...

    async def pause(self, upstream: str, found: Pause) -> None: ...

    async def evict_unused(self, before: int, limit: int) -> list[Evicted]: ...

    async def evict_surplus(self, most: int, before: int, limit: int) -> list[Evicted]: ...

    async def cached_bytes(self) -> int: ...

    async def close(self) -> None: ...


class SqlMetadata:
    """Metadata in SQLite or PostgreSQL. With SQLite, writes take turns in one thread, and the queries of
    pulls are done where they are asked for; with PostgreSQL every transaction has a thread of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = SqliteReader(database.path) if database.is_sqlite else None
        self._threads = ThreadPoolExecutor(1 if database.is_sqlite else POOL, "metadata")

    async def manifest(self, repository: str, reference: str) -> Manifest | None:
        if self._reader is not None:
            return self._reader.manifest(repository, reference)
        query = listing.manifest_by_digest if ":" in reference else listing.manifest_by_tag
        return await self._read(query, repository, reference)

    async def blob(self, repository: str, digest: str) -> tuple[Blob, int] | None:
        if self._reader is not None:
            return self._reader.blob(repository, digest)
        return await self._read(listing.blob, repository, digest)

    async def has_repository(self, repository: str) -> bool:
        if self._reader is not None:
            return self._reader.has_repository(repository)
        return await self._read(listing.has_repository, repository)

    async def tag_names(self, repository: str, after: str, limit: int) -> list[str]:
        if self._reader is not None:
            return self._reader.tag_names(repository, after, limit)
        return await self._read(listing.tag_names, repository, after, limit)

    async def repository_names(self, after: str, limit: int) -> list[str]:
        if self._reader is not None:
            return self._reader.repository_names(after, limit)
        return await self._read(listing.repository_names, after, limit)

    async def referrers(self, repository: str, subject: str) -> list[Referrer]:
        if self._reader is not None:
            return self._reader.referrers(repository, subject)
        return await self._read(listing.referrers, repository, subject)

    async def upload(self, repository: str, identity: str) -> Upload | None:
        return await self._read(listing.upload, repository, identity)

    async def put_manifest(
        self, repository: str, manifest: NewManifest, tags: Sequence[str]
    ) -> list[Missing]:
        return await self._write(pushing.put_manifest, repository, manifest, tags)

    async def delete_manifest(self, repository: str, digest: str) -> str | None:
        return await self._write(pushing.delete_manifest, repository, digest)

    async def delete_tag(self, repository: str, tag: str) -> bool:
        return await self._write(pushing.delete_tag, repository, tag)

    async def begin_upload(self, upload: Upload) -> None:
        await self._write_lightly(linking.begin_upload, upload)

    async def advance_upload(self, upload: Upload, offset: int, digest: str, state: str) -> bool:
        return await self._write_lightly(linking.advance_upload, upload, offset, digest, state)

    async def touch_upload(self, identity: str) -> None:
        await self._write_lightly(linking.touch_upload, identity)

    async def aim_upload(self, identity: str, digest: str) -> bool:
        return await self._write_lightly(linking.aim_upload, identity, digest)

    async def has_blob(self, digest: str) -> bool:
        if self._reader is not None:
            return self._reader.has_blob(digest)
        return await self._read(linking.has_blob, digest)

    async def finish_upload(
        self, upload: Upload, digest: str, size: int, location: str, grace: int, spare: Sequence[Doomed]
    ) -> Blob | None:
        return await self._write(linking.finish_upload, upload, digest, size, location, grace, spare)

    async def drop_upload(self, identity: str, left: Sequence[Doomed]) -> bool:
        return await self._write_lightly(linking.drop_upload, identity, left)

    async def mount_blob(self, repository: str, digest: str, source: str, grace: int) -> Blob | None:
        return await self._write(linking.mount_blob, repository, digest, source, grace)

    async def repositories_with(self, digest: str, limit: int) -> list[str]:
        return await self._read(linking.repositories_with, digest, limit)

    async def keep_blob(self, repository: str, digest: str) -> bool:
        return await self._write_lightly(linking.keep_blob, repository, digest)

    async def unlink_blob(self, repository: str, digest: str) -> str | None:
        return await self._write(linking.unlink_blob, repository, digest)

    async def doom(self, left: Sequence[Doomed]) -> None:
        await self._write_lightly(linking.doom, left)

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        return await self._write_lightly(collecting.take_lease, name, holder, seconds)

    async def drop_lease(self, name: str, holder: str) -> None:
        await self._write_lightly(collecting.drop_lease, name, holder)

    async def expire_uploads(self, age: int, limit: int, left: Callable[[Upload], Sequence[Doomed]]) -> int:
        return await self._write_lightly(collecting.expire_uploads, age, limit, left)

    async def collect(self, grace: int, longest: int, limit: int, spare: int = 0) -> tuple[int, int]:
        return await self._write(collecting.collect, grace, longest, limit, spare)

    async def due_doomed(self, limit: int) -> list[Doomed]:
        return await self._read(collecting.due_doomed, limit)

    async def deleted(self, locations: list[str]) -> None:
        await self._write_lightly(collecting.deleted, locations)

    async def not_deleted(self, location: str) -> None:
        await self._write_lightly(collecting.not_deleted, location)

    async def explain(self, grace: int, longest: int, limit: int) -> list[Reason]:
        return await self._read(collecting.explain, grace, longest, limit)

    async def stored_blobs(self, after: str, limit: int) -> list[StoredBlob]:
        return await self._read(listing.stored_blobs, after, limit)

    async def lose_blob(self, found: StoredBlob) -> bool:
        return await self._write(linking.lose_blob, found)

    async def known_locations(self, locations: list[str]) -> set[str]:
        return await self._read(listing.known_locations, locations)

    async def open_uploads(self, identities: list[str]) -> set[str]:
        return await self._read(listing.open_uploads, identities)

    async def is_stored(self, found: StoredBlob) -> bool:
        return await self._read(checking.is_stored, found)

    async def needed_by(self, digest: str, limit: int) -> tuple[list[str], int]:
        return await self._read(checking.needed_by, digest, limit)

    async def find_blob(self, digest: str, size: int, location: str) -> bool:
        return await self._write(checking.find_blob, digest, size, location)

    async def checked_manifests(self, after: CheckedManifest | None, limit: int) -> list[CheckedManifest]:
        return await self._run(self._database.snapshot, checking.checked_manifests, after, limit)

    async def linked(self, key: int, digests: Sequence[str]) -> set[str]:
        return await self._read(checking.linked, key, digests)

    async def note_references(self, repository: str, manifest: str, targets: Sequence[str]) -> bool:
        return await self._write(checking.note_references, repository, manifest, targets)

    async def broken_references(self, after: BrokenReference | None, limit: int) -> list[BrokenReference]:
        return await self._read(checking.broken_references, after, limit)

    async def link_again(self, reference: BrokenReference) -> bool:
        return await self._write(checking.link_again, reference)

    async def forgotten_links(self, after: Link | None, before: int, limit: int) -> list[Link]:
        return await self._read(checking.forgotten_links, after, before, limit)

    async def suspect(self, found: Link) -> None:
        await self._write(checking.suspect, found)

    async def unlinked_blobs(self, after: str, before: int, limit: int) -> list[tuple[str, int]]:
        return await self._read(checking.unlinked_blobs, after, before, limit)

    async def drop_unlinked(self, digest: str) -> None:
        await self._write(checking.drop_unlinked, digest)

    async def payloads(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        return await self._read(listing.payloads, after, limit)

    async def stored(self) -> Stored:
        return await self._read(measuring.stored)

    async def repository_sizes(self) -> list[tuple[str, int]]:
        return await self._read(measuring.repository_sizes)

    async def cached_tag(self, repository: str, tag: str) -> CachedTag | None:
        if self._reader is not None:
            return self._reader.cached_tag(repository, tag)
        return await self._read(upstreams.cached_tag, repository, tag)

    async def put_cached_manifest(
        self, repository: str, manifest: NewManifest, upstream: str, tag: str, etag: str
    ) -> bool:
        return await self._write_lightly(
            upstreams.put_cached_manifest, repository, manifest, upstream, tag, etag
        )

    async def confirm_cached_tag(self, repository: str, tag: str, digest: str) -> None:
        await self._write_lightly(upstreams.confirm_cached_tag, repository, tag, digest)

    async def drop_cached_tag(self, repository: str, tag: str) -> None:
        await self._write_lightly(upstreams.drop_cached_tag, repository, tag)

    async def cached_referrers(self, repository: str, subject: str) -> CachedReferrers | None:
        return await self._read(upstreams.cached_referrers, repository, subject)

    async def put_cached_referrers(self, repository: str, subject: str, found: Sequence[Referrer]) -> None:
        await self._write_lightly(upstreams.put_cached_referrers, repository, subject, found)

    async def was_pushed(self, repository: str, digest: str) -> bool:
        return await self._read(upstreams.was_pushed, repository, digest)

    async def instance_name(self, new: str) -> str:
        return await self._write(upstreams.instance_name, new)

    async def needed_from_upstream(self, repository: str, digest: str) -> tuple[str, bytes] | None:
        return await self._read(upstreams.needed_from_upstream, repository, digest)

    async def note_uses(self, uses: Sequence[tuple[str, str, int]]) -> None:
        await self._write_lightly(upstreams.note_uses, uses)

    async def lease(self, name: str) -> tuple[str, int] | None:
        if self._reader is not None:
            return self._reader.lease(name)
        return await self._read(upstreams.lease, name)

    async def pauses(self, upstream: str) -> list[Pause]:
        return await self._read(upstreams.pauses, upstream)

    async def pause(self, upstream: str, found: Pause) -> None:
        await self._write_lightly(upstreams.pause, upstream, found)

    async def evict_unused(self, before: int, limit: int) -> list[Evicted]:
        return await self._write_lightly(upstreams.evict_unused, before, limit)

    async def evict_surplus(self, most: int, before: int, limit: int) -> list[Evicted]:
        return await self._write_lightly(upstreams.evict_surplus, most, before, limit)

    async def cached_bytes(self) -> int:
        return await self._read(upstreams.cached_bytes)

    async def close(self) -> None:
        """Ends the threads and the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._reader is not None:
            self._reader.close()
        self._database.close()

    async def _read(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._run(self._database.read, operation, *args)

    async def _write(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._run(self._database.write, operation, *args)

    async def _write_lightly(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._run(self._database.write_lightly, operation, *args)

    async def _run(self, way: Callable[..., R], *args: Any) -> R:
        # A transaction that has begun is seen to its end, whatever becomes of the request that wanted it.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, way, *args))
