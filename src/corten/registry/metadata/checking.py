"""Transactions of `check.py`: pages of what is there, what does not fit, and repairs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, exists, func, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from corten.registry.blobs.store import is_lost
from corten.registry.metadata.collecting import doom_unlinked
from corten.registry.metadata.conditions import is_copy_that_refers, needs_link
from corten.registry.metadata.pushing import (
    has_manifest,
    insert_new,
    now,
    put_references,
    repository_id,
)
from corten.registry.metadata.records import BrokenReference, CheckedManifest, Link, Reference, StoredBlob
from corten.registry.metadata.schema import (
    blobs,
    candidates,
    manifest_payloads,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
)


def broken_references(
    connection: Connection, after: BrokenReference | None, limit: int
) -> list[BrokenReference]:
    """Manifests' blobs and manifests that their repository does not have, behind `after`. A copy from
    upstream may lack what it needs."""
    wanted = manifest_references
    have_blob = exists().where(
        repository_blobs.c.repository == wanted.c.repository, repository_blobs.c.digest == wanted.c.target
    )
    have_manifest = exists().where(
        manifests.c.repository == wanted.c.repository, manifests.c.digest == wanted.c.target
    )
    query = (
        select(
            wanted.c.repository, repositories.c.name, wanted.c.manifest, wanted.c.target, wanted.c.is_manifest
        )
        .join(repositories, repositories.c.id == wanted.c.repository)
        .where(
            (wanted.c.is_manifest.is_(False) & ~have_blob)
            | (wanted.c.is_manifest.is_(True) & ~have_manifest),
            # What a copy needs is fetched when it is asked for.
            ~exists().where(is_copy_that_refers()),
        )
        .order_by(wanted.c.repository, wanted.c.manifest, wanted.c.target)
        .limit(limit)
    )
    if after is not None:
        query = query.where(
            tuple_(wanted.c.repository, wanted.c.manifest, wanted.c.target)
            > tuple_(after.key, after.manifest, after.target)
        )
    return [BrokenReference(*row) for row in connection.execute(query)]


def checked_manifests(
    connection: Connection, after: CheckedManifest | None, limit: int
) -> list[CheckedManifest]:
    """Manifests behind `after`, with what is written down of what each needs."""
    query = (
        select(
            manifests.c.repository,
            repositories.c.name,
            manifests.c.digest,
            manifests.c.media_type,
            manifest_payloads.c.payload,
        )
        .join(repositories, repositories.c.id == manifests.c.repository)
        .join(manifest_payloads, manifest_payloads.c.digest == manifests.c.digest)
        .order_by(manifests.c.repository, manifests.c.digest)
        .limit(limit)
    )
    if after is not None:
        query = query.where(
            tuple_(manifests.c.repository, manifests.c.digest) > tuple_(after.key, after.digest)
        )
    rows = connection.execute(query).all()
    if not rows:
        return []
    needed: dict[tuple[int, str], set[str]] = {(row[0], row[2]): set() for row in rows}
    first, last = (rows[0][0], rows[0][2]), (rows[-1][0], rows[-1][2])
    place = tuple_(manifest_references.c.repository, manifest_references.c.manifest)
    for key, manifest, target in connection.execute(
        select(
            manifest_references.c.repository, manifest_references.c.manifest, manifest_references.c.target
        ).where(place >= tuple_(*first), place <= tuple_(*last))
    ):
        if (key, manifest) in needed:
            needed[key, manifest].add(target)
    return [
        CheckedManifest(row[0], row[1], row[2], row[3], bytes(row[4]), frozenset(needed[row[0], row[2]]))
        for row in rows
    ]


def linked(connection: Connection, key: int, digests: Sequence[str]) -> set[str]:
    """Which of `digests` the repository has as blobs."""
    return set(
        connection.execute(
            select(repository_blobs.c.digest).where(
                repository_blobs.c.repository == key, repository_blobs.c.digest.in_(digests)
            )
        ).scalars()
    )


def note_references(connection: Connection, repository: str, manifest: str, targets: Sequence[str]) -> bool:
    """Writes down that `manifest` needs these blobs. False: it is gone."""
    key = repository_id(connection, repository)
    if key is None or not has_manifest(connection, key, manifest):
        return False
    put_references(connection, key, manifest, [Reference(target, -1) for target in targets])
    return True


def link_again(connection: Connection, reference: BrokenReference) -> bool:
    """The repository gets a blob that its manifest needs. False: the bytes are stored nowhere."""
    repository_id(connection, reference.repository)  # its row is locked
    location = connection.execute(
        select(blobs.c.location).where(blobs.c.digest == reference.target).with_for_update(read=True)
    ).scalar()
    if reference.is_manifest or location is None or is_lost(location):
        return False
    connection.execute(
        insert_new(connection, repository_blobs)
        .values(repository=reference.key, digest=reference.target, touched=now(), settled=True)
        .on_conflict_do_nothing()
    )
    return True


def _is_candidate() -> ColumnElement[bool]:
    return exists().where(
        candidates.c.repository == repository_blobs.c.repository,
        candidates.c.digest == repository_blobs.c.digest,
    )


def forgotten_links(connection: Connection, after: Link | None, before: int, limit: int) -> list[Link]:
    """Blobs of repositories that no manifest needs, and that the collector will not look at: for good."""
    query = (
        select(repository_blobs.c.repository, repositories.c.name, repository_blobs.c.digest, blobs.c.size)
        .join(repositories, repositories.c.id == repository_blobs.c.repository)
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
        .where(repository_blobs.c.touched < before, ~exists().where(needs_link()), ~_is_candidate())
        .order_by(repository_blobs.c.repository, repository_blobs.c.digest)
        .limit(limit)
    )
    if after is not None:
        query = query.where(
            tuple_(repository_blobs.c.repository, repository_blobs.c.digest) > tuple_(after.key, after.digest)
        )
    return [Link(*row) for row in connection.execute(query)]


def suspect(connection: Connection, found: Link) -> None:
    """The collector will look at it."""
    connection.execute(
        insert_new(connection, candidates)
        .values(repository=found.key, digest=found.digest, due=now())
        .on_conflict_do_nothing()
    )


def unlinked_blobs(connection: Connection, after: str, before: int, limit: int) -> list[tuple[str, int]]:
    """(digest, size) of blobs that no repository has, and that the collector will not look at."""
    is_candidate = exists().where(candidates.c.digest == blobs.c.digest)
    is_linked = exists().where(repository_blobs.c.digest == blobs.c.digest)
    rows = connection.execute(
        select(blobs.c.digest, blobs.c.size)
        .where(blobs.c.digest > after, blobs.c.created < before, ~is_linked, ~is_candidate)
        .order_by(blobs.c.digest)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def drop_unlinked(connection: Connection, digest: str) -> None:
    """The blob goes, unless a repository has it by now."""
    doom_unlinked(connection, [digest])


def is_stored(connection: Connection, found: StoredBlob) -> bool:
    """Whether the blob is still where it was."""
    here = exists().where(blobs.c.digest == found.digest, blobs.c.location == found.location)
    return bool(connection.execute(select(here)).scalar_one())


def find_blob(connection: Connection, digest: str, size: int, location: str) -> bool:
    """The bytes of a lost blob were found at `location`. False: it is not lost (any more)."""
    changed = connection.execute(
        update(blobs)
        .where(blobs.c.digest == digest, blobs.c.location.like("lost/%"))
        .values(location=location, size=size)
    )
    return changed.rowcount > 0


def needed_by(connection: Connection, digest: str, limit: int) -> tuple[list[str], int]:
    """Some of the images that need a blob (`name:tag`, or `name@digest` where there is no tag), and how many
    manifests there are."""
    wanted = manifest_references
    rows = connection.execute(
        select(repositories.c.name, wanted.c.manifest, func.min(tags.c.name))
        .select_from(repository_blobs)
        .join(wanted, needs_link())
        .join(repositories, repositories.c.id == wanted.c.repository)
        .outerjoin(tags, and_(tags.c.repository == wanted.c.repository, tags.c.manifest == wanted.c.manifest))
        .where(repository_blobs.c.digest == digest)
        .group_by(repositories.c.name, wanted.c.manifest)
        .order_by(repositories.c.name, wanted.c.manifest)
    ).all()
    names = [f"{name}:{tag}" if tag else f"{name}@{manifest}" for name, manifest, tag in rows[:limit]]
    return names, len(rows)
