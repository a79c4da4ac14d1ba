"""Queries. With SQLite, `sqlite_reader.py` answers the frequent ones instead."""

from __future__ import annotations

from sqlalchemy import Connection, exists, func, select

from corten.registry.metadata.conditions import is_copy_of_manifest
from corten.registry.metadata.records import Blob, Doomed, Manifest, Referrer, StoredBlob, Upload
from corten.registry.metadata.schema import (
    blobs,
    cached_manifests,
    doomed,
    manifest_payloads,
    manifests,
    repositories,
    repository_blobs,
    tags,
    uploads,
)


def manifest_by_digest(connection: Connection, repository: str, digest: str) -> Manifest | None:
    """A manifest of a repository."""
    row = connection.execute(
        select(manifests.c.digest, manifests.c.media_type, manifest_payloads.c.payload)
        .join(repositories, repositories.c.id == manifests.c.repository)
        .join(manifest_payloads, manifest_payloads.c.digest == manifests.c.digest)
        .where(repositories.c.name == repository, manifests.c.digest == digest)
    ).first()
    return Manifest(row[0], row[1], bytes(row[2])) if row is not None else None


def manifest_by_tag(connection: Connection, repository: str, tag: str) -> Manifest | None:
    """What a tag points to."""
    row = connection.execute(
        select(manifests.c.digest, manifests.c.media_type, manifest_payloads.c.payload)
        .select_from(repositories)
        .join(tags, tags.c.repository == repositories.c.id)
        .join(
            manifests,
            (manifests.c.repository == repositories.c.id) & (manifests.c.digest == tags.c.manifest),
        )
        .join(manifest_payloads, manifest_payloads.c.digest == manifests.c.digest)
        .where(repositories.c.name == repository, tags.c.name == tag)
    ).first()
    return Manifest(row[0], row[1], bytes(row[2])) if row is not None else None


def blob(connection: Connection, repository: str, digest: str) -> tuple[Blob, int] | None:
    """A blob of a repository, and when a push was last told of it."""
    row = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.location, repository_blobs.c.touched)
        .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
        .join(repositories, repositories.c.id == repository_blobs.c.repository)
        .where(repositories.c.name == repository, blobs.c.digest == digest)
    ).first()
    return (Blob(row[0], row[1], row[2]), row[3]) if row is not None else None


def has_repository(connection: Connection, repository: str) -> bool:
    """Whether the repository is known."""
    return (
        connection.execute(select(repositories.c.id).where(repositories.c.name == repository)).first()
        is not None
    )


def tag_names(connection: Connection, repository: str, after: str, limit: int) -> list[str]:
    """At most `limit` tags behind `after`, in the order of bytes."""
    return list(
        connection.execute(
            select(tags.c.name)
            .join(repositories, repositories.c.id == tags.c.repository)
            .where(repositories.c.name == repository, tags.c.name > after)
            .order_by(tags.c.name)
            .limit(limit)
        ).scalars()
    )


def repository_names(connection: Connection, after: str, limit: int) -> list[str]:
    """At most `limit` repositories behind `after` that have a manifest, in the order of bytes."""
    return list(
        connection.execute(
            select(repositories.c.name)
            .where(repositories.c.name > after, exists().where(manifests.c.repository == repositories.c.id))
            .order_by(repositories.c.name)
            .limit(limit)
        ).scalars()
    )


def referrers(connection: Connection, repository: str, subject: str) -> list[Referrer]:
    """The manifests of a repository whose subject is `subject`, in the order in which they were pushed."""
    rows = connection.execute(
        select(
            manifests.c.digest,
            manifests.c.media_type,
            manifests.c.artifact_type,
            manifests.c.size,
            manifests.c.annotations,
            cached_manifests.c.digest.is_not(None),
        )
        .join(repositories, repositories.c.id == manifests.c.repository)
        .outerjoin(cached_manifests, is_copy_of_manifest())
        .where(repositories.c.name == repository, manifests.c.subject == subject)
        .order_by(manifests.c.pushed, manifests.c.digest)
    )
    return [Referrer(*row) for row in rows]


def upload(connection: Connection, repository: str, identity: str) -> Upload | None:
    """A session of a repository."""
    row = connection.execute(
        select(
            uploads.c.id,
            repositories.c.name,
            uploads.c.algorithm,
            uploads.c.offset,
            uploads.c.hash,
            uploads.c.state,
            uploads.c.target,
        )
        .join(repositories, repositories.c.id == uploads.c.repository)
        .where(repositories.c.name == repository, uploads.c.id == identity)
    ).first()
    return Upload(*row) if row is not None else None


def stored_blobs(connection: Connection, after: str, limit: int) -> list[StoredBlob]:
    """Blobs behind `after`, with how many repositories have each."""
    rows = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.location, func.count(repository_blobs.c.repository))
        .outerjoin(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
        .where(blobs.c.digest > after)
        .group_by(blobs.c.digest, blobs.c.size, blobs.c.location)
        .order_by(blobs.c.digest)
        .limit(limit)
    )
    return [StoredBlob(*row) for row in rows]


def known_locations(connection: Connection, locations: list[str]) -> set[str]:
    """Which of `locations` a row needs, or is deleting."""
    found: set[str] = set()
    for column in (blobs.c.location, doomed.c.location):
        found.update(connection.execute(select(column).where(column.in_(locations))).scalars())
    return found


def open_uploads(connection: Connection, identities: list[str]) -> set[str]:
    """Which of `identities` are sessions."""
    return set(connection.execute(select(uploads.c.id).where(uploads.c.id.in_(identities))).scalars())


def all_doomed(connection: Connection, limit: int) -> list[Doomed]:
    """Bytes that are to be deleted, due or not."""
    return [
        Doomed(*row)
        for row in connection.execute(select(doomed.c.location, doomed.c.digest, doomed.c.size).limit(limit))
    ]


def payloads(connection: Connection, after: str, limit: int) -> list[tuple[str, bytes]]:
    """Manifests' bytes behind `after`, for `check`."""
    rows = connection.execute(
        select(manifest_payloads.c.digest, manifest_payloads.c.payload)
        .where(manifest_payloads.c.digest > after)
        .order_by(manifest_payloads.c.digest)
        .limit(limit)
    )
    return [(row[0], bytes(row[1])) for row in rows]
