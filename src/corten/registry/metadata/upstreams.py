"""Transactions on what came from upstream registries (`registry/upstream`): which manifests and tags are
copies, and who uses them.

A manifest with a row in `cached_manifests` may lack what it refers to: that is fetched when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from corten.registry.metadata.conditions import is_copy_of_manifest, is_copy_that_refers, needs_link
from corten.registry.metadata.pushing import (
    has_manifest,
    insert_new,
    now,
    put_references,
    put_row,
    put_tag,
    remove_manifest,
    repository_id,
)
from corten.registry.metadata.records import (
    CachedReferrers,
    CachedTag,
    Evicted,
    NewManifest,
    Pause,
    Referrer,
)
from corten.registry.metadata.schema import (
    blobs,
    cached_manifests,
    cached_tags,
    instance,
    leases,
    manifest_payloads,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
    upstream_pauses,
)
from corten.registry.metadata.schema import cached_referrers as lists

_REFERRERS = msgspec.json.Decoder(tuple[Referrer, ...])


def cached_tag(connection: Connection, repository: str, tag: str) -> CachedTag | None:
    """What is known of a tag that came from upstream; None: there is no such tag, or it was pushed here."""
    row = connection.execute(
        select(tags.c.manifest, cached_tags.c.etag, cached_tags.c.checked)
        .join(repositories, repositories.c.id == cached_tags.c.repository)
        .join(tags, and_(tags.c.repository == cached_tags.c.repository, tags.c.name == cached_tags.c.name))
        .where(repositories.c.name == repository, cached_tags.c.name == tag)
    ).first()
    return CachedTag(*row) if row is not None else None


def put_cached_manifest(
    connection: Connection, repository: str, manifest: NewManifest, upstream: str, tag: str, etag: str
) -> bool:
    """Stores a manifest that came from upstream, and moves its tag ("": none) to it, unless the tag was
    pushed here: False, and the tag is what it was."""
    key = repository_id(connection, repository, create=True)
    assert key is not None
    moment = now()
    if not has_manifest(connection, key, manifest.digest):
        put_row(connection, key, manifest, moment)
        needed = [reference for reference in manifest.references if not reference.optional]
        put_references(connection, key, manifest.digest, needed)
        connection.execute(
            cached_manifests.insert().values(
                repository=key, digest=manifest.digest, upstream=upstream, fetched=moment, used=moment
            )
        )
    if not tag:
        return True
    known = connection.execute(
        select(tags.c.name, cached_tags.c.name)
        .outerjoin(
            cached_tags,
            and_(cached_tags.c.repository == tags.c.repository, cached_tags.c.name == tags.c.name),
        )
        .where(tags.c.repository == key, tags.c.name == tag)
    ).first()
    if known is not None and known[1] is None:
        return False
    put_tag(connection, key, tag, manifest.digest, moment)
    connection.execute(
        insert_new(connection, cached_tags)
        .values(repository=key, name=tag, etag=etag, checked=moment)
        .on_conflict_do_update(index_elements=["repository", "name"], set_={"etag": etag, "checked": moment})
    )
    return True


def confirm_cached_tag(connection: Connection, repository: str, tag: str, digest: str) -> None:
    """Upstream has just said that its tag is (still) `digest`."""
    key = select(repositories.c.id).where(repositories.c.name == repository).scalar_subquery()
    same = exists().where(
        tags.c.repository == cached_tags.c.repository,
        tags.c.name == cached_tags.c.name,
        tags.c.manifest == digest,
    )
    connection.execute(
        update(cached_tags)
        .where(cached_tags.c.repository == key, cached_tags.c.name == tag, same)
        .values(checked=now())
    )


def drop_cached_tag(connection: Connection, repository: str, tag: str) -> None:
    """Upstream has no such tag any more. One that was pushed here stays."""
    key = repository_id(connection, repository)
    cached = exists().where(cached_tags.c.repository == key, cached_tags.c.name == tag)
    connection.execute(delete(tags).where(tags.c.repository == key, tags.c.name == tag, cached))


def cached_referrers(connection: Connection, repository: str, subject: str) -> CachedReferrers | None:
    """What upstream has said of a manifest's referrers; None: nothing, or nothing is kept."""
    row = connection.execute(
        select(lists.c.found, lists.c.checked)
        .join(repositories, repositories.c.id == lists.c.repository)
        .where(repositories.c.name == repository, lists.c.subject == subject)
    ).first()
    return CachedReferrers(_REFERRERS.decode(row.found), row.checked) if row is not None else None


def put_cached_referrers(
    connection: Connection, repository: str, subject: str, found: Sequence[Referrer]
) -> None:
    """Keeps what upstream has said, as long as the manifest is here; nothing where it is not: so a client
    cannot have more kept by asking for more."""
    key = repository_id(connection, repository)
    if key is None or not has_manifest(connection, key, subject):
        return
    values = {"found": msgspec.json.encode(found).decode(), "checked": now()}
    connection.execute(
        insert_new(connection, lists)
        .values(repository=key, subject=subject, **values)
        .on_conflict_do_update(index_elements=["repository", "subject"], set_=values)
    )


def was_pushed(connection: Connection, repository: str, digest: str) -> bool:
    """Whether a manifest is here, and is no copy."""
    copied = exists().where(is_copy_of_manifest())
    query = (
        select(manifests.c.digest)
        .join(repositories, repositories.c.id == manifests.c.repository)
        .where(repositories.c.name == repository, manifests.c.digest == digest, ~copied)
    )
    return connection.execute(query).first() is not None


def instance_name(connection: Connection, new: str) -> str:
    """What this registry calls itself: `new`, unless it has a name already."""
    connection.execute(insert_new(connection, instance).values(id=1, name=new).on_conflict_do_nothing())
    return str(connection.execute(select(instance.c.name)).scalar_one())


def needed_from_upstream(connection: Connection, repository: str, digest: str) -> tuple[str, bytes] | None:
    """A manifest from upstream that refers to the blob `digest`: its own digest, and its bytes."""
    wanted = manifest_references
    row = connection.execute(
        select(wanted.c.manifest, manifest_payloads.c.payload)
        .select_from(wanted)
        .join(repositories, repositories.c.id == wanted.c.repository)
        .join(cached_manifests, is_copy_that_refers())
        .join(manifest_payloads, manifest_payloads.c.digest == wanted.c.manifest)
        .where(repositories.c.name == repository, wanted.c.target == digest, wanted.c.is_manifest.is_(False))
        .limit(1)
    ).first()
    return (row[0], bytes(row[1])) if row is not None else None


def note_uses(connection: Connection, uses: Sequence[tuple[str, str, int]]) -> None:
    """(repository, digest, when) of manifests that were asked for; what is no copy is passed over."""
    for repository, digest, moment in uses:
        key = select(repositories.c.id).where(repositories.c.name == repository).scalar_subquery()
        connection.execute(
            update(cached_manifests)
            .where(
                cached_manifests.c.repository == key,
                cached_manifests.c.digest == digest,
                cached_manifests.c.used < moment,
            )
            .values(used=moment)
        )


def lease(connection: Connection, name: str) -> tuple[str, int] | None:
    """Who holds a lease, and until when (milliseconds since 1970)."""
    row = connection.execute(select(leases.c.holder, leases.c.until).where(leases.c.name == name)).first()
    return (row[0], row[1]) if row is not None else None


# -- limits


def pauses(connection: Connection, upstream: str) -> list[Pause]:
    """What is not to be asked of an upstream now."""
    rows = connection.execute(
        select(upstream_pauses.c.kind, upstream_pauses.c.until, upstream_pauses.c.reason).where(
            upstream_pauses.c.upstream == upstream, upstream_pauses.c.until > now()
        )
    )
    return [Pause(*row) for row in rows]


def pause(connection: Connection, upstream: str, found: Pause) -> None:
    """Writes down that an upstream is not to be asked, for all replicas. A later end counts."""
    row = insert_new(connection, upstream_pauses).values(
        upstream=upstream, kind=found.kind, until=found.until, reason=found.reason
    )
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["upstream", "kind"],
            set_={"until": found.until, "reason": found.reason},
            where=upstream_pauses.c.until < found.until,
        )
    )


# -- eviction


def _is_evictable() -> ColumnElement[bool]:
    """A copy (of the row of `manifests`) that no index needs which was pushed here."""
    copies = cached_manifests.alias()
    needed = (
        select(manifest_references.c.manifest)
        .outerjoin(copies, is_copy_that_refers(copies))
        .where(
            manifest_references.c.repository == manifests.c.repository,
            manifest_references.c.target == manifests.c.digest,
            manifest_references.c.is_manifest.is_(True),
            copies.c.digest.is_(None),
        )
        .correlate(manifests)
    )
    return ~needed.exists()


def _oldest(connection: Connection, before: int, limit: int) -> list[tuple[int, str, str, int]]:
    """(key, repository, digest, used) of copies that were last used before `before`, the oldest first."""
    rows = connection.execute(
        select(
            cached_manifests.c.repository,
            repositories.c.name,
            cached_manifests.c.digest,
            cached_manifests.c.used,
        )
        .join(repositories, repositories.c.id == cached_manifests.c.repository)
        .join(manifests, is_copy_of_manifest())
        .where(cached_manifests.c.used < before, _is_evictable())
        .order_by(cached_manifests.c.used)
        .limit(limit)
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _evict(connection: Connection, key: int, repository: str, digest: str, used: int) -> Evicted | None:
    """None: it was used, or pushed, since it was looked at."""
    locked = select(repositories.c.id).where(repositories.c.id == key).with_for_update()
    connection.execute(locked)
    still = select(cached_manifests.c.digest).where(
        cached_manifests.c.repository == key,
        cached_manifests.c.digest == digest,
        cached_manifests.c.used == used,
    )
    if connection.execute(still).first() is None:
        return None
    freed = _bytes_of(connection, key, digest)
    remove_manifest(connection, key, digest)
    return Evicted(repository, digest, used, freed)


def _bytes_of(connection: Connection, key: int, digest: str) -> int:
    """The blobs that no other manifest needs, of any repository."""
    ours = manifest_references.alias()
    other = manifest_references.alias()
    elsewhere = (
        select(other.c.manifest)
        .select_from(repository_blobs)
        .join(other, needs_link(other))
        .where(
            repository_blobs.c.digest == ours.c.target,
            or_(other.c.repository != key, other.c.manifest != digest),
        )
        .correlate(ours)
    )
    return int(
        connection.execute(
            select(func.coalesce(func.sum(blobs.c.size), 0))
            .select_from(ours)
            .join(blobs, blobs.c.digest == ours.c.target)
            .where(ours.c.repository == key, ours.c.manifest == digest, ~elsewhere.exists())
        ).scalar_one()
    )


def evict_unused(connection: Connection, before: int, limit: int) -> list[Evicted]:
    """Removes copies that nobody has used since `before`; their blobs become candidates of the collector."""
    rows = _oldest(connection, before, limit)
    return [gone for row in rows if (gone := _evict(connection, *row)) is not None]


def evict_surplus(connection: Connection, most: int, before: int, limit: int) -> list[Evicted]:
    """Removes the least recently used copies, of those not used since `before`, until the rest has `most`
    bytes; at most `limit` at once."""
    surplus = cached_bytes(connection) - most
    found: list[Evicted] = []
    if surplus <= 0:
        return found
    for row in _oldest(connection, before, limit):
        if surplus <= 0:
            break
        gone = _evict(connection, *row)
        if gone is not None:
            surplus -= gone.size
            found.append(gone)
    return found


def cached_bytes(connection: Connection) -> int:
    """The bytes of blobs that copies need, and nothing that was pushed."""
    needed = (
        select(manifest_references.c.manifest)
        .select_from(repository_blobs)
        .join(manifest_references, needs_link())
        .outerjoin(cached_manifests, is_copy_that_refers())
        .where(repository_blobs.c.digest == blobs.c.digest)
        .correlate(blobs)
    )
    copied = needed.where(cached_manifests.c.digest.is_not(None)).exists()
    pushed = needed.where(cached_manifests.c.digest.is_(None)).exists()
    query = select(func.coalesce(func.sum(blobs.c.size), 0)).where(copied, ~pushed)
    return int(connection.execute(query).scalar_one())
