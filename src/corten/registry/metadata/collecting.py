"""Transactions of the collector (`collect.py`). Each looks at a bounded number of rows, and takes the
same locks in the same order as pushes do: the repository, then the blob."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, select, tuple_, update

from corten.registry.blobs.store import is_lost
from corten.registry.metadata.linking import doom, drop_upload
from corten.registry.metadata.pushing import (
    SLICE,
    drop_unused_repositories,
    drop_unused_repository,
    insert_new,
    now,
)
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


class _Candidate(NamedTuple):
    """What there is to know of one: a manifest that needs it, and its link, or None."""

    key: int
    digest: str
    needed: str | None
    touched: int | None
    settled: bool | None


def collect(connection: Connection, grace: int, longest: int, limit: int, spare: int = 0) -> tuple[int, int]:
    """Looks at candidates that are due: links that nothing needs go, and blobs that no repository has
    are doomed: their bytes are deleted after `spare` milliseconds.

    Returns how many were looked at, and how many links went. A batch takes a few statements, however large it
    is: with SQLite nobody else can write meanwhile.
    """
    due = [
        (row[0], row[1])
        for row in connection.execute(
            select(candidates.c.repository, candidates.c.digest)
            .where(candidates.c.due <= now())
            .order_by(candidates.c.due)
            .limit(limit)
        )
    ]
    if not due:
        return 0, 0
    # In the order of keys, as two collectors of two replicas would otherwise wait for each other.
    keys = sorted({key for key, _digest in due})
    connection.execute(
        select(repositories.c.id)
        .where(repositories.c.id.in_(keys))
        .order_by(repositories.c.id)
        .with_for_update()
    )
    waiting: list[dict[str, Any]] = []
    done: list[_Candidate] = []
    gone: list[_Candidate] = []
    under_way = _pushed_to(connection, keys, max(grace, 60_000))
    for found in _look_at(connection, due):
        wait, _why = _decide(found, found.key in under_way, grace, longest)
        if wait > 0:
            waiting.append({"key": found.key, "which": found.digest, "due": now() + wait})
        else:
            done.append(found)
            if wait == 0 and found.touched is not None:
                gone.append(found)
    if waiting:
        connection.execute(update(candidates).where(_is_it(candidates)).values(due=bindparam("due")), waiting)
    _delete(connection, candidates, done)
    _delete(connection, repository_blobs, gone)
    doom_unlinked(connection, sorted({found.digest for found in done if found.needed is None}), spare)
    drop_unused_repositories(connection, sorted({found.key for found in done if found.needed is None}))
    return len(due), len(gone)


def _is_it(table: Table) -> ColumnElement[bool]:
    return and_(table.c.repository == bindparam("key"), table.c.digest == bindparam("which"))


def _delete(connection: Connection, table: Table, which: Sequence[_Candidate]) -> None:
    if which:
        rows = [{"key": found.key, "which": found.digest} for found in which]
        connection.execute(delete(table).where(_is_it(table)), rows)


def _look_at(connection: Connection, due: Sequence[tuple[int, str]]) -> list[_Candidate]:
    """What decides about candidates."""
    found: list[_Candidate] = []
    for begin in range(0, len(due), SLICE):
        part = sorted(due[begin : begin + SLICE])
        needs = manifest_references.c
        needed = {
            (row[0], row[1]): row[2]
            for row in connection.execute(
                select(needs.repository, needs.target, func.min(needs.manifest))
                .where(tuple_(needs.repository, needs.target).in_(part))
                .group_by(needs.repository, needs.target)
            )
        }
        link = repository_blobs.c
        links = {
            (row[0], row[1]): (row[2], row[3])
            for row in connection.execute(
                select(link.repository, link.digest, link.touched, link.settled).where(
                    tuple_(link.repository, link.digest).in_(part)
                )
            )
        }
        found += [_Candidate(*this, needed.get(this), *links.get(this, (None, None))) for this in part]
    return found


def doom_unlinked(connection: Connection, digests: Sequence[str], spare: int = 0) -> None:
    """Those blobs go that no repository has. Their rows are locked first: a push that links one comes before,
    or after."""
    for begin in range(0, len(digests), SLICE):
        part = digests[begin : begin + SLICE]
        rows = connection.execute(
            select(blobs.c.digest, blobs.c.location, blobs.c.size)
            .where(blobs.c.digest.in_(part))
            .order_by(blobs.c.digest)
            .with_for_update()
        ).all()
        linked = set(
            connection.execute(
                select(repository_blobs.c.digest).where(repository_blobs.c.digest.in_(part)).distinct()
            ).scalars()
        )
        going = [row for row in rows if row.digest not in linked]
        if going:
            connection.execute(delete(blobs).where(blobs.c.digest.in_([row.digest for row in going])))
            left = [Doomed(row.location, row.digest, row.size) for row in going if not is_lost(row.location)]
            doom(connection, left, spare)


def _decide(found: _Candidate, is_pushed_to: bool, grace: int, longest: int) -> tuple[int, str]:
    """What becomes of a link, and why: 0, it goes; -1, it stays; else the milliseconds after which to look
    again."""
    if found.needed is not None:
        return -1, f"manifest {found.needed} needs it"
    if found.touched is None:
        return 0, "it was taken from the repository"
    age = now() - found.touched
    if age < grace:
        return grace - age, f"a push was told of it {age // 1000} s ago"
    if not found.settled and age < longest and is_pushed_to:
        return max(1000, grace // 4), "a push into its repository is under way"
    return 0, "no manifest needs it"


def _pushed_to(connection: Connection, keys: Sequence[int], within: int) -> set[int]:
    """Which repositories have an upload that somebody is sending."""
    since = now() - within
    found: set[int] = set()
    for begin in range(0, len(keys), SLICE):
        found.update(
            connection.execute(
                select(uploads.c.repository)
                .where(uploads.c.repository.in_(keys[begin : begin + SLICE]), uploads.c.touched >= since)
                .distinct()
            ).scalars()
        )
    return found


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
    names = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    under_way = _pushed_to(connection, sorted({key for key, _digest in names}), max(grace, 60_000))
    reasons = []
    for found in _look_at(connection, list(names)):
        wait, why = _decide(found, found.key in under_way, grace, longest)
        name, size = names[found.key, found.digest]
        reasons.append(Reason(name, found.digest, size, wait == 0, why))
    return sorted(reasons, key=lambda reason: (reason.repository, reason.digest))
