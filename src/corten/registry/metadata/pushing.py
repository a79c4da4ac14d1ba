"""Transactions on manifests and tags. Each is one function on a connection, and may be run again from
its start.

With PostgreSQL, what changes a repository holds a lock on its row: what has been looked at stays true
until the commit. SQLite's transactions exclude each other anyway.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Table, and_, delete, exists, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from corten.registry.metadata.records import Missing, NewManifest, Reference
from corten.registry.metadata.schema import (
    blobs,
    cached_manifests,
    cached_tags,
    candidates,
    manifest_payloads,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
    undescribed_manifests,
    uploads,
)

# Databases limit the parameters of one statement (SQLite: 32766).
SLICE = 500


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what to do about rows that are there already."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def repository_id(connection: Connection, name: str, *, create: bool = False) -> int | None:
    """The repository's key, its row locked until the end of the transaction."""
    query = select(repositories.c.id).where(repositories.c.name == name).with_for_update()
    found = connection.execute(query).scalar()
    if found is None and create:
        connection.execute(
            insert_new(connection, repositories)
            .values(name=name, created=now())
            .on_conflict_do_nothing(index_elements=["name"])
        )
        found = connection.execute(query).scalar_one()
    return found


def has_manifest(connection: Connection, key: int, digest: str) -> bool:
    """Whether a repository has a manifest."""
    here = and_(manifests.c.repository == key, manifests.c.digest == digest)
    return connection.execute(select(manifests.c.digest).where(here)).first() is not None


def put_manifest(
    connection: Connection, repository: str, manifest: NewManifest, new_tags: Sequence[str]
) -> list[Missing]:
    """Stores a manifest under its digest and moves tags to it; or stores nothing, and tells what it lacks."""
    key = repository_id(connection, repository, create=True)
    assert key is not None
    sizes, references = _found(connection, key, manifest.references)
    missing = [
        Missing(reference, sizes.get(reference.digest, -1))
        for reference in references
        if not _is_there(reference, sizes)
    ]
    if missing:
        drop_unused_repository(connection, key)
        return missing
    moment = now()
    put_row(connection, key, manifest, moment)
    put_references(connection, key, manifest.digest, [r for r in references if r.digest in sizes])
    _take_over(connection, key, manifest.digest, new_tags)
    for tag in new_tags:
        put_tag(connection, key, tag, manifest.digest, moment)
    return []


def put_tag(connection: Connection, key: int, tag: str, digest: str, moment: int) -> None:
    """A tag points to a manifest from now on."""
    values = {"manifest": digest, "updated": moment}
    connection.execute(
        insert_new(connection, tags)
        .values(repository=key, name=tag, **values)
        .on_conflict_do_update(index_elements=["repository", "name"], set_=values)
    )


def put_row(connection: Connection, key: int, manifest: NewManifest, moment: int) -> None:
    """The manifest itself, without what it refers to."""
    # What a fault of the disk has changed is mended by the next push.
    connection.execute(
        insert_new(connection, manifest_payloads)
        .values(digest=manifest.digest, payload=manifest.payload)
        .on_conflict_do_update(
            index_elements=["digest"],
            set_={"payload": manifest.payload},
            where=manifest_payloads.c.payload != manifest.payload,
        )
    )
    connection.execute(
        insert_new(connection, undescribed_manifests)
        .values(digest=manifest.digest)
        .on_conflict_do_nothing(index_elements=["digest"])
    )
    row = insert_new(connection, manifests).values(
        repository=key,
        digest=manifest.digest,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
        annotations=manifest.annotations,
        size=len(manifest.payload),
        pushed=moment,
    )
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["repository", "digest"],
            set_={"pushed": moment, "media_type": manifest.media_type},
        )
    )


def _take_over(connection: Connection, key: int, digest: str, new_tags: Sequence[str]) -> None:
    """What is pushed is no copy of an upstream's (any more)."""
    connection.execute(
        delete(cached_manifests).where(
            cached_manifests.c.repository == key, cached_manifests.c.digest == digest
        )
    )
    if new_tags:
        connection.execute(
            delete(cached_tags).where(cached_tags.c.repository == key, cached_tags.c.name.in_(new_tags))
        )


def drop_unused_repository(connection: Connection, key: int) -> None:
    """Forgets a repository that has nothing in it. Its row has to be locked already, or is locked here."""
    connection.execute(select(repositories.c.id).where(repositories.c.id == key).with_for_update())
    drop_unused_repositories(connection, [key])


def drop_unused_repositories(connection: Connection, keys: Sequence[int]) -> None:
    """Forgets those that have nothing in them. Their rows have to be locked already."""
    for begin in range(0, len(keys), SLICE):
        nothing = [
            ~exists().where(table.c.repository == repositories.c.id)
            for table in (repository_blobs, manifests, uploads, candidates)
        ]
        part = keys[begin : begin + SLICE]
        connection.execute(delete(repositories).where(repositories.c.id.in_(part), *nothing))


def _is_there(reference: Reference, sizes: dict[str, int]) -> bool:
    size = sizes.get(reference.digest, -1)
    if size < 0:
        return reference.optional
    return reference.size in (-1, size)


def _found(
    connection: Connection, key: int, references: Sequence[Reference]
) -> tuple[dict[str, int], list[Reference]]:
    """The sizes of those that the repository has, and the references as what they are here: an index may list
    blobs (BuildKit's caches do)."""
    sizes = _blob_sizes(connection, key, [r.digest for r in references if not r.is_manifest])
    wanted = [reference.digest for reference in references if reference.is_manifest]
    for begin in range(0, len(wanted), SLICE):
        query = select(manifests.c.digest, manifests.c.size).where(
            manifests.c.repository == key, manifests.c.digest.in_(wanted[begin : begin + SLICE])
        )
        sizes.update((digest, size) for digest, size in connection.execute(query))
    others = _blob_sizes(connection, key, [digest for digest in wanted if digest not in sizes])
    if not others:
        return sizes, list(references)
    sizes.update(others)
    return sizes, [
        msgspec.structs.replace(reference, is_manifest=False) if reference.digest in others else reference
        for reference in references
    ]


def _blob_sizes(connection: Connection, key: int, wanted: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for begin in range(0, len(wanted), SLICE):
        query = (
            select(blobs.c.digest, blobs.c.size)
            .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
            .where(
                repository_blobs.c.repository == key,
                blobs.c.digest.in_(wanted[begin : begin + SLICE]),
                blobs.c.location.not_like("lost/%"),
            )
        )
        sizes.update((digest, size) for digest, size in connection.execute(query))
    return sizes


def put_references(connection: Connection, key: int, digest: str, references: Sequence[Reference]) -> None:
    """What the manifest needs, written down; its blobs are settled from now on."""
    rows = [
        {
            "repository": key,
            "manifest": digest,
            "target": reference.digest,
            "is_manifest": reference.is_manifest,
        }
        for reference in references
    ]
    for begin in range(0, len(rows), SLICE):
        part = rows[begin : begin + SLICE]
        connection.execute(insert_new(connection, manifest_references).on_conflict_do_nothing(), part)
        connection.execute(
            update(repository_blobs)
            .where(
                repository_blobs.c.repository == key,
                repository_blobs.c.digest.in_([row["target"] for row in part]),
            )
            .values(settled=True)
        )


def delete_tag(connection: Connection, repository: str, tag: str) -> bool:
    """Removes a tag; the manifest stays, under its digest. False: there is none."""
    key = repository_id(connection, repository)
    gone = connection.execute(delete(tags).where(tags.c.repository == key, tags.c.name == tag))
    return gone.rowcount > 0


def delete_manifest(connection: Connection, repository: str, digest: str) -> str | None:
    """Removes a manifest and its tags. None: there is none; else the digest of an index that needs it
    (and it stays), or "" when it is gone."""
    key = repository_id(connection, repository)
    if key is None or not has_manifest(connection, key, digest):
        return None
    index = connection.execute(
        select(manifest_references.c.manifest)
        .where(
            manifest_references.c.repository == key,
            manifest_references.c.target == digest,
            manifest_references.c.is_manifest.is_(True),
        )
        .limit(1)
    ).scalar()
    if index is not None:
        return str(index)
    remove_manifest(connection, key, digest)
    return ""


def remove_manifest(connection: Connection, key: int, digest: str) -> None:
    """Removes a manifest that nothing needs; what it referred to becomes a candidate of the collector."""
    needed = select(manifest_references.c.repository, manifest_references.c.target, literal(now())).where(
        manifest_references.c.repository == key,
        manifest_references.c.manifest == digest,
        manifest_references.c.is_manifest.is_(False),
    )
    connection.execute(
        insert_new(connection, candidates)
        .from_select(["repository", "digest", "due"], needed)
        .on_conflict_do_update(index_elements=["repository", "digest"], set_={"due": now()})
    )
    connection.execute(delete(manifests).where(manifests.c.repository == key, manifests.c.digest == digest))
    elsewhere = exists().where(manifests.c.digest == digest)
    connection.execute(delete(manifest_payloads).where(manifest_payloads.c.digest == digest, ~elsewhere))
