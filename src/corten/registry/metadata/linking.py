"""Transactions on uploads and on the links between repositories and blobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, select, update

from corten.registry.blobs.store import is_lost, lost
from corten.registry.metadata.pushing import insert_new, now, repository_id
from corten.registry.metadata.records import Blob, Doomed, StoredBlob, Upload
from corten.registry.metadata.schema import (
    blobs,
    candidates,
    doomed,
    manifest_references,
    repositories,
    repository_blobs,
    uploads,
)


def begin_upload(connection: Connection, upload: Upload) -> None:
    """A new session; its repository comes to be with it."""
    key = repository_id(connection, upload.repository, create=True)
    moment = now()
    connection.execute(
        uploads.insert().values(
            id=upload.id,
            repository=key,
            algorithm=upload.algorithm,
            offset=0,
            hash="",
            state="",
            target="",
            started=moment,
            touched=moment,
        )
    )


def advance_upload(connection: Connection, upload: Upload, offset: int, digest: str, state: str) -> bool:
    """The session has `offset` bytes now. False: somebody else has changed it since `upload` was read."""
    changed = connection.execute(
        update(uploads)
        .where(uploads.c.id == upload.id, uploads.c.offset == upload.offset, uploads.c.state == upload.state)
        .values(offset=offset, hash=digest, state=state, touched=now())
    )
    return changed.rowcount > 0


def touch_upload(connection: Connection, identity: str) -> None:
    """Bytes are coming in: it must not expire."""
    connection.execute(update(uploads).where(uploads.c.id == identity).values(touched=now()))


def aim_upload(connection: Connection, identity: str, digest: str) -> bool:
    """Writes down which digest the session is being finished with, before its location is written.

    False: the session is gone, or is being finished with another digest.
    """
    changed = connection.execute(
        update(uploads)
        .where(uploads.c.id == identity, uploads.c.target.in_(["", digest]))
        .values(target=digest, touched=now())
    )
    return changed.rowcount > 0


def drop_upload(connection: Connection, identity: str, left: Sequence[Doomed]) -> bool:
    """Ends a session without a blob; `left` is what has to be deleted of it. False: there is no such
    session."""
    if connection.execute(delete(uploads).where(uploads.c.id == identity)).rowcount == 0:
        return False
    doom(connection, left)
    return True


def doom(connection: Connection, left: Sequence[Doomed], spare: int = 0) -> None:
    """Writes down bytes that have to be deleted, after `spare` milliseconds."""
    if left:
        moment = now() + spare
        connection.execute(
            insert_new(connection, doomed).on_conflict_do_nothing(index_elements=["location"]),
            [
                {
                    "location": entry.location,
                    "digest": entry.digest,
                    "size": entry.size,
                    "due": moment,
                    "attempts": 0,
                }
                for entry in left
            ],
        )


def finish_upload(
    connection: Connection,
    upload: Upload,
    digest: str,
    size: int,
    location: str,
    grace: int,
    spare: Sequence[Doomed],
) -> Blob | None:
    """Ends a session with a blob that the repository may hand out; `location` "" means that its bytes
    are stored already.

    Returns the blob with the location that counts; when that is another's, as the digest was there
    before, `spare` is what has to be deleted. None: the session is gone (expired or cancelled), or, with
    no location, the blob has gone meanwhile.
    """
    key = repository_id(connection, upload.repository)
    if key is None:
        return None
    known = _blob(connection, digest)
    has_bytes = known is not None and not is_lost(known.location)
    if not has_bytes and not location:
        return None  # they have gone meanwhile
    if connection.execute(delete(uploads).where(uploads.c.id == upload.id)).rowcount == 0:
        return None
    if known is None:
        connection.execute(
            insert_new(connection, blobs)
            .values(digest=digest, size=size, location=location, created=now())
            .on_conflict_do_nothing(index_elements=["digest"])
        )
        known = _blob(connection, digest)
        assert known is not None
    elif not has_bytes:
        connection.execute(update(blobs).where(blobs.c.digest == digest).values(location=location, size=size))
        known = Blob(digest, size, location)
    if known.location != location:
        doom(connection, spare)
    link(connection, key, digest, grace)
    return known


def has_blob(connection: Connection, digest: str) -> bool:
    """Whether the bytes are stored, for whichever repository."""
    found = connection.execute(select(blobs.c.location).where(blobs.c.digest == digest)).scalar()
    return found is not None and not is_lost(found)


def lose_blob(connection: Connection, found: StoredBlob) -> bool:
    """The bytes of a blob are gone, or spoilt: what is left of them is doomed, and a push has to bring them
    again."""
    changed = connection.execute(
        update(blobs)
        .where(blobs.c.digest == found.digest, blobs.c.location == found.location)
        .values(location=lost(found.digest))
    )
    if changed.rowcount == 0:
        return False
    doom(connection, [Doomed(found.location, found.digest, found.size)])
    return True


def _blob(connection: Connection, digest: str) -> Blob | None:
    """The blob, its row locked against the collector."""
    row = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.location)
        .where(blobs.c.digest == digest)
        .with_for_update(read=True)
    ).first()
    return Blob(*row) if row is not None else None


def link(connection: Connection, key: int, digest: str, grace: int) -> None:
    """The repository has the blob from now on; after the grace the collector looks whether that is needed."""
    moment = now()
    connection.execute(
        insert_new(connection, repository_blobs)
        .values(repository=key, digest=digest, touched=moment, settled=False)
        .on_conflict_do_update(
            index_elements=["repository", "digest"], set_={"touched": moment, "settled": False}
        )
    )
    connection.execute(
        insert_new(connection, candidates)
        .values(repository=key, digest=digest, due=moment + grace)
        .on_conflict_do_update(index_elements=["repository", "digest"], set_={"due": moment + grace})
    )


def mount_blob(connection: Connection, repository: str, digest: str, source: str, grace: int) -> Blob | None:
    """Links a blob that `source` has into `repository`. None: it has not."""
    linked = connection.execute(
        select(repository_blobs.c.digest)
        .join(repositories, repositories.c.id == repository_blobs.c.repository)
        .where(repositories.c.name == source, repository_blobs.c.digest == digest)
    ).first()
    if linked is None:
        return None
    key = repository_id(connection, repository, create=True)
    assert key is not None
    known = _blob(connection, digest)
    if known is None or is_lost(known.location):
        return None
    link(connection, key, digest, grace)
    return known


def repositories_with(connection: Connection, digest: str, limit: int) -> list[str]:
    """Some repositories that have a blob, for a mount that does not say from where."""
    return list(
        connection.execute(
            select(repositories.c.name)
            .join(repository_blobs, repository_blobs.c.repository == repositories.c.id)
            .where(repository_blobs.c.digest == digest)
            .limit(limit)
        ).scalars()
    )


def keep_blob(connection: Connection, repository: str, digest: str) -> bool:
    """A push is told that the blob is here: it stays for the grace. False: it is not here (any more)."""
    key = select(repositories.c.id).where(repositories.c.name == repository).scalar_subquery()
    kept = connection.execute(
        update(repository_blobs)
        .where(repository_blobs.c.repository == key, repository_blobs.c.digest == digest)
        .values(touched=now(), settled=False)
    )
    return kept.rowcount > 0


def unlink_blob(connection: Connection, repository: str, digest: str) -> str | None:
    """Takes a blob from a repository. None: it has none such; else the digest of a manifest that needs
    it (and it stays), or "" when it is gone."""
    key = repository_id(connection, repository)
    here = and_(repository_blobs.c.repository == key, repository_blobs.c.digest == digest)
    if key is None or connection.execute(select(repository_blobs.c.digest).where(here)).first() is None:
        return None
    manifest = connection.execute(
        select(manifest_references.c.manifest)
        .where(manifest_references.c.repository == key, manifest_references.c.target == digest)
        .limit(1)
    ).scalar()
    if manifest is not None:
        return str(manifest)
    connection.execute(delete(repository_blobs).where(here))
    moment = now()
    connection.execute(
        insert_new(connection, candidates)
        .values(repository=key, digest=digest, due=moment)
        .on_conflict_do_update(index_elements=["repository", "digest"], set_={"due": moment})
    )
    return ""
