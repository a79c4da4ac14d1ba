"""Transactions of `corten registry import` (`registry/importing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, select, update

from corten.registry.blobs.store import is_lost
from corten.registry.metadata.linking import doom, link
from corten.registry.metadata.pushing import SLICE, insert_new, now, put_manifest, put_tag, repository_id
from corten.registry.metadata.records import Blob, Doomed, Missing, NewManifest
from corten.registry.metadata.schema import blobs, cached_tags, doomed, manifests, repositories, tags

HOUR = 3_600_000
AIMED = 24 * HOUR
"""After so long the collector deletes what an import that was killed has left at a location."""


def stored(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """The sizes of those blobs whose bytes are stored, for whichever repository."""
    found: dict[str, int] = {}
    for begin in range(0, len(digests), SLICE):
        rows = connection.execute(
            select(blobs.c.digest, blobs.c.size, blobs.c.location).where(
                blobs.c.digest.in_(digests[begin : begin + SLICE])
            )
        )
        found.update((digest, size) for digest, size, location in rows if not is_lost(location))
    return found


def here(connection: Connection, repository: str) -> tuple[set[str], dict[str, tuple[str, int]]]:
    """The manifests of a repository, and its tags: what each points to, and since when."""
    key = connection.execute(select(repositories.c.id).where(repositories.c.name == repository)).scalar()
    if key is None:
        return set(), {}
    known = connection.execute(select(manifests.c.digest).where(manifests.c.repository == key)).scalars()
    rows = connection.execute(
        select(tags.c.name, tags.c.manifest, tags.c.updated).where(tags.c.repository == key)
    )
    return set(known), {name: (manifest, updated) for name, manifest, updated in rows}


def aim(connection: Connection, targets: Sequence[Doomed]) -> None:
    """Writes down where bytes are about to be put: whatever happens, they are deleted a day later, unless
    `adopt` says that they are a blob."""
    doom(connection, targets, AIMED)


def adopt(connection: Connection, repository: str, found: Sequence[Blob]) -> None:
    """Bytes that are in their places become blobs of a repository. What somebody else has stored meanwhile
    is linked, and our bytes go."""
    key = repository_id(connection, repository, create=True)
    assert key is not None
    for blob in found:
        aimed = connection.execute(
            delete(doomed).where(doomed.c.location == blob.location, doomed.c.due > now() + HOUR)
        )
        if not aimed.rowcount:
            continue  # this took a day, and the collector may be deleting them
        row = connection.execute(
            select(blobs.c.location).where(blobs.c.digest == blob.digest).with_for_update()
        ).first()
        if row is None:
            added = connection.execute(
                insert_new(connection, blobs)
                .values(digest=blob.digest, size=blob.size, location=blob.location, created=now())
                .on_conflict_do_nothing(index_elements=["digest"])
                .returning(blobs.c.digest)
            )
            taken = added.first() is not None
        else:
            taken = is_lost(row.location)
            if taken:
                connection.execute(
                    update(blobs)
                    .where(blobs.c.digest == blob.digest)
                    .values(location=blob.location, size=blob.size)
                )
        if not taken:
            doom(connection, [Doomed(blob.location, blob.digest, blob.size)])
        link(connection, key, blob.digest, AIMED)


def put(
    connection: Connection,
    repository: str,
    imported: Sequence[tuple[NewManifest, int]],
    grace: int,
) -> dict[str, list[Missing]]:
    """Links what manifests need into a repository, and stores them with the times at which they were pushed;
    what each of them lacks that could not be stored."""
    key = repository_id(connection, repository, create=True)
    assert key is not None
    needed = {
        reference.digest
        for manifest, _pushed in imported
        for reference in manifest.references
        if not reference.is_manifest
    }
    for digest in sorted(needed):
        row = connection.execute(
            select(blobs.c.location).where(blobs.c.digest == digest).with_for_update(read=True)
        ).first()
        if row is not None and not is_lost(row.location):
            link(connection, key, digest, grace)
    failed: dict[str, list[Missing]] = {}
    for manifest, pushed in imported:
        missing = put_manifest(connection, repository, manifest, [])
        if missing:
            failed[manifest.digest] = missing
            continue
        connection.execute(
            update(manifests)
            .where(manifests.c.repository == key, manifests.c.digest == manifest.digest)
            .values(pushed=pushed)
        )
    return failed


def tag(connection: Connection, repository: str, wanted: Mapping[str, tuple[str, int]]) -> list[str]:
    """Moves tags to manifests that are here, with the times at which that was done; the names of those that
    were moved later in this registry, and stay."""
    key = repository_id(connection, repository, create=True)
    assert key is not None
    kept: list[str] = []
    for name, (manifest, updated) in sorted(wanted.items()):
        known = connection.execute(
            select(tags.c.manifest, tags.c.updated).where(tags.c.repository == key, tags.c.name == name)
        ).first()
        if known is not None and (known.manifest == manifest or known.updated >= updated):
            kept += [name] if known.manifest != manifest else []
            continue
        put_tag(connection, key, name, manifest, updated)
        connection.execute(
            delete(cached_tags).where(cached_tags.c.repository == key, cached_tags.c.name == name)
        )
    return kept
