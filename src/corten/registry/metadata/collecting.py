"""Transactions of the collector (`collect.py`). Each looks at a bounded number of rows, and takes the
same locks in the same order as pushes do: the repository, then the blob."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, and_, delete, exists, func, select, update

from corten.registry.blobs.store import is_lost
from corten.registry.metadata.linking import doom, drop_upload, is_linked
from corten.registry.metadata.pushing import drop_unused_repository, insert_new, now
from corten.registry.metadata.records import Doomed, Reason, Upload
from corten.registry.metadata.schema import (
    blobs,
    candidates,
    doomed,
    leases,
    manifest_references,
    repositories,
    repository_blobs,
    uploads,
)


def take_lease(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Whether `holder` is the one who does `name` for so long; it may ask again."""
    moment = now()
    until = moment + int(seconds * 1000)
    taken = connection.execute(
        update(leases)
        .where(leases.c.name == name, (leases.c.holder == holder) | (leases.c.until < moment))
        .values(holder=holder, until=until)
    )
    if taken.rowcount:
        return True
    added = connection.execute(
        insert_new(connection, leases)
        .values(name=name, holder=holder, until=until)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(leases.c.name)
    )
    return added.first() is not None


def drop_lease(connection: Connection, name: str, holder: str) -> None:
    """Gives a lease back."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def expire_uploads(
    connection: Connection, age: int, limit: int, left: Callable[[Upload], Sequence[Doomed]]
) -> int:
    """Ends sessions that nobody has continued for `age` milliseconds; `left` tells what has to be deleted
    of one."""
    rows = connection.execute(
        select(uploads, repositories.c.name.label("repository_name"))
        .join(repositories, repositories.c.id == uploads.c.repository)
        .where(uploads.c.touched < now() - age)
        .order_by(uploads.c.touched)
        .limit(limit)
        .with_for_update(of=uploads, skip_locked=True)
    ).all()
    for row in rows:
        upload = Upload(
            row.id, row.repository_name, row.algorithm, row.offset, row.hash, row.state, row.target
        )
        drop_upload(connection, upload.id, left(upload))
        drop_unused_repository(connection, row.repository)
    return len(rows)


def collect(connection: Connection, grace: int, longest: int, limit: int, spare: int = 0) -> tuple[int, int]:
    """Looks at candidates that are due: links that nothing needs go, and blobs that no repository has
    are doomed: their bytes are deleted after `spare` milliseconds.

    Returns how many were looked at, and how many links went.
    """
    due = connection.execute(
        select(candidates.c.repository, candidates.c.digest)
        .where(candidates.c.due <= now())
        .order_by(candidates.c.due)
        .limit(limit)
    ).all()
    gone = 0
    # In the order of keys, as two collectors of two replicas would otherwise wait for each other.
    for key, digest in sorted(tuple(row) for row in due):
        connection.execute(select(repositories.c.id).where(repositories.c.id == key).with_for_update())
        wait, _why = verdict(connection, key, digest, grace, longest)
        this = and_(candidates.c.repository == key, candidates.c.digest == digest)
        if wait > 0:
            connection.execute(update(candidates).where(this).values(due=now() + wait))
            continue
        connection.execute(delete(candidates).where(this))
        if wait == 0:
            unlinked = connection.execute(
                delete(repository_blobs).where(
                    repository_blobs.c.repository == key, repository_blobs.c.digest == digest
                )
            )
            gone += unlinked.rowcount
            doom_unlinked(connection, digest, spare)
            drop_unused_repository(connection, key)
    return len(due), gone


def doom_unlinked(connection: Connection, digest: str, spare: int = 0) -> None:
    """The blob goes, when no repository has it. Its row is locked first: a push that links it comes before,
    or after."""
    blob = connection.execute(
        select(blobs.c.location, blobs.c.size).where(blobs.c.digest == digest).with_for_update()
    ).first()
    if blob is not None and not is_linked(connection, digest):
        connection.execute(delete(blobs).where(blobs.c.digest == digest))
        if not is_lost(blob.location):
            doom(connection, [Doomed(blob.location, digest, blob.size)], spare)


def verdict(connection: Connection, key: int, digest: str, grace: int, longest: int) -> tuple[int, str]:
    """What becomes of a link, and why: 0, it goes; -1, it stays; else the milliseconds after which to look
    again."""
    needed = connection.execute(
        select(manifest_references.c.manifest)
        .where(manifest_references.c.repository == key, manifest_references.c.target == digest)
        .limit(1)
    ).scalar()
    if needed is not None:
        return -1, f"manifest {needed} needs it"
    link = connection.execute(
        select(repository_blobs.c.touched, repository_blobs.c.settled).where(
            repository_blobs.c.repository == key, repository_blobs.c.digest == digest
        )
    ).first()
    if link is None:
        return 0, "it was taken from the repository"
    age = now() - link.touched
    if age < grace:
        return grace - age, f"a push was told of it {age // 1000} s ago"
    if not link.settled and age < longest and _is_pushed_to(connection, key, max(grace, 60_000)):
        return max(1000, grace // 4), "a push into its repository is under way"
    return 0, "no manifest needs it"


def _is_pushed_to(connection: Connection, key: int, within: int) -> bool:
    return bool(
        connection.execute(
            select(exists().where(uploads.c.repository == key, uploads.c.touched >= now() - within))
        ).scalar_one()
    )


def due_doomed(connection: Connection, limit: int) -> list[Doomed]:
    """Bytes to delete now."""
    rows = connection.execute(
        select(doomed.c.location, doomed.c.digest, doomed.c.size)
        .where(doomed.c.due <= now())
        .order_by(doomed.c.due)
        .limit(limit)
    )
    return [Doomed(*row) for row in rows]


def deleted(connection: Connection, locations: list[str]) -> None:
    """The bytes at `locations` are gone."""
    connection.execute(delete(doomed).where(doomed.c.location.in_(locations)))


def not_deleted(connection: Connection, location: str) -> None:
    """The store could not delete: again later, and later each time, an hour at most."""
    attempts = connection.execute(select(doomed.c.attempts).where(doomed.c.location == location)).scalar()
    wait = min(3_600_000, 1000 * 2 ** min(attempts or 0, 12))
    connection.execute(
        update(doomed)
        .where(doomed.c.location == location)
        .values(due=now() + wait, attempts=doomed.c.attempts + 1)
    )


def explain(connection: Connection, grace: int, longest: int, limit: int) -> list[Reason]:
    """What a collection would do with each candidate."""
    rows = connection.execute(
        select(
            candidates.c.repository,
            candidates.c.digest,
            repositories.c.name,
            func.coalesce(blobs.c.size, 0).label("size"),
        )
        .join(repositories, repositories.c.id == candidates.c.repository)
        .outerjoin(blobs, blobs.c.digest == candidates.c.digest)
        .order_by(repositories.c.name, candidates.c.digest)
        .limit(limit)
    ).all()
    reasons = []
    for key, digest, name, size in rows:
        wait, why = verdict(connection, key, digest, grace, longest)
        reasons.append(Reason(name, digest, size, wait == 0, why))
    return reasons
