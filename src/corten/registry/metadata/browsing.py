"""Queries of the page. Each is a function on a connection, and looks at no more rows than it has to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union,
)

from corten.registry.metadata.browsing_records import (
    Facts,
    FoundRepository,
    ManifestRow,
    Payload,
    RepositoryDetails,
    TagRow,
)
from corten.registry.metadata.conditions import needs_link
from corten.registry.metadata.pushing import insert_new
from corten.registry.metadata.schema import (
    blobs,
    manifest_facts,
    manifest_payloads,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
    undescribed_manifests,
)

_FACTS = (
    manifest_facts.c.digest,
    manifest_facts.c.kind,
    manifest_facts.c.platforms,
    manifest_facts.c.bytes,
    manifest_facts.c.created,
    manifest_facts.c.summary,
)
_MANIFEST = (
    manifests.c.digest,
    manifests.c.media_type,
    manifests.c.artifact_type,
    manifests.c.subject,
    manifests.c.annotations,
    manifests.c.size,
    manifests.c.pushed,
)


def _contains(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Whether a text has `word` in it. (SQLite: LIKE takes a third of the time of instr.)"""
    return column.contains(word, autoescape=True)


def found_repositories(
    connection: Connection, words: Sequence[str], after: tuple[int, str], limit: int
) -> list[FoundRepository]:
    """Repositories with a manifest that have every word (in lower case) in their name, or in their images'
    labels and annotations; names that match first, each in the order of bytes, behind `after`."""
    name = repositories.c.name
    in_name = [_contains(name, word) for word in words]
    rank = case((and_(*in_name), 0), else_=1) if words else literal(0)
    matches = [
        or_(
            by_name,
            repositories.c.id.in_(
                select(manifests.c.repository).where(
                    # Two steps: the texts are read one after the other, and not by way of the manifests.
                    manifests.c.digest.in_(
                        select(manifest_facts.c.digest).where(_contains(manifest_facts.c.words, word))
                    )
                )
            ),
        )
        for word, by_name in zip(words, in_name, strict=True)
    ]
    behind = name > after[1] if not words else or_(rank > after[0], and_(rank == after[0], name > after[1]))
    rows = connection.execute(
        select(name, rank)
        .where(exists().where(manifests.c.repository == repositories.c.id), behind, *matches)
        .order_by(*([rank, name] if words else [name]))
        .limit(limit)
    )
    return [FoundRepository(row[0], row[1]) for row in rows]


def matching_words(
    connection: Connection, names: Sequence[str], words: Sequence[str], limit: int
) -> list[tuple[str, str]]:
    """(repository, its words) of manifests in which one of `words` is, for some repositories."""
    rows = connection.execute(
        select(repositories.c.name, manifest_facts.c.words)
        .join(manifests, manifests.c.repository == repositories.c.id)
        .join(manifest_facts, manifest_facts.c.digest == manifests.c.digest)
        .where(
            repositories.c.name.in_(names),
            or_(*(_contains(manifest_facts.c.words, word) for word in words)),
        )
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def repository_details(connection: Connection, names: Sequence[str]) -> dict[str, RepositoryDetails]:
    """What the list shows of each."""
    keys = dict(
        connection.execute(
            select(repositories.c.id, repositories.c.name).where(repositories.c.name.in_(names))
        ).all()
    )
    newest = _newest_tags(connection, list(keys))
    # Of `updated`, as that index is the smallest.
    counting = select(tags.c.repository, func.count(tags.c.updated))
    counted = _by_repository(connection, counting, tags.c.repository, keys)
    pushed = _by_repository(
        connection,
        select(manifests.c.repository, func.max(manifests.c.pushed)),
        manifests.c.repository,
        [key for key in keys if key not in newest],
    )
    sizes = _by_repository(
        connection,
        select(repository_blobs.c.repository, func.sum(blobs.c.size)).join(
            blobs, blobs.c.digest == repository_blobs.c.digest
        ),
        repository_blobs.c.repository,
        keys,
    )
    found = {}
    for key, name in keys.items():
        tag, updated, summary, kind = newest.get(key, ("", 0, "", ""))
        found[name] = RepositoryDetails(
            name,
            counted.get(key, (0,))[0],
            updated or pushed.get(key, (0,))[0],
            int(sizes.get(key, (0,))[0] or 0),
            tag,
            summary,
            kind,
        )
    return found


def _by_repository(
    connection: Connection, query: Select[Any], column: ColumnElement[int], keys: Any
) -> dict[int, tuple[Any, ...]]:
    rows = connection.execute(query.where(column.in_(list(keys))).group_by(column))
    return {row[0]: tuple(row)[1:] for row in rows}


def _is_attached(name: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a tag has a digest for its name: a signature or an attestation of something else."""
    return and_(func.length(name) > 70, or_(name.like("sha256-%"), name.like("sha512-%")))


def _newest_tags(connection: Connection, keys: list[int]) -> dict[int, tuple[str, int, str, str]]:
    """Each repository's newest tag, when it was pushed, its summary and kind: a step in an index for each."""
    newest = (
        select(tags.c.name)
        .where(tags.c.repository == repositories.c.id, ~_is_attached(tags.c.name))
        .order_by(tags.c.updated.desc(), tags.c.name.desc())
        .limit(1)
        .correlate(repositories)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            tags.c.repository, tags.c.name, tags.c.updated, manifest_facts.c.summary, manifest_facts.c.kind
        )
        .select_from(repositories)
        .join(tags, and_(tags.c.repository == repositories.c.id, tags.c.name == newest))
        .outerjoin(manifest_facts, manifest_facts.c.digest == tags.c.manifest)
        .where(repositories.c.id.in_(keys))
    )
    return {row[0]: (row[1], row[2], row[3] or "", row[4] or "") for row in rows}


def _facts(row: Any, start: int) -> Facts | None:
    return Facts(*row[start : start + len(_FACTS)]) if row[start] is not None else None


def _manifest(row: Any, payload: bytes = b"") -> ManifestRow:
    digest, media_type, artifact_type, subject, annotations, size, pushed = row[: len(_MANIFEST)]
    facts = _facts(row, len(_MANIFEST))
    return ManifestRow(digest, media_type, artifact_type, subject, annotations, size, pushed, facts, payload)


def tag_rows(
    connection: Connection, repository: str, word: str, after: tuple[int, str] | str | None, limit: int
) -> list[TagRow]:
    """Tags with `word` in their name. `after` is a name: by name, behind it; (updated, name) or None: the
    newest first, behind that."""
    query = (
        select(tags.c.name, tags.c.manifest, manifests.c.media_type, tags.c.updated, *_FACTS)
        .select_from(tags)
        .join(repositories, repositories.c.id == tags.c.repository)
        .join(
            manifests,
            and_(manifests.c.repository == tags.c.repository, manifests.c.digest == tags.c.manifest),
        )
        .outerjoin(manifest_facts, manifest_facts.c.digest == tags.c.manifest)
        .where(repositories.c.name == repository)
    )
    if word:
        query = query.where(_contains(func.lower(tags.c.name), word))
    if isinstance(after, str):
        query = query.where(tags.c.name > after).order_by(tags.c.name)
    else:
        if after is not None:
            query = query.where(tuple_(tags.c.updated, tags.c.name) < tuple_(*after))
        query = query.order_by(tags.c.updated.desc(), tags.c.name.desc())
    return [
        TagRow(row[0], row[1], row[2], row[3], _facts(row, 4))
        for row in connection.execute(query.limit(limit))
    ]


def tag_count(connection: Connection, repository: str) -> int:
    """How many tags a repository has."""
    return connection.execute(
        select(func.count())
        .select_from(tags)
        .join(repositories, repositories.c.id == tags.c.repository)
        .where(repositories.c.name == repository)
    ).scalar_one()


def has_manifests(connection: Connection, repository: str) -> bool:
    """Whether there is such a repository, with anything in it."""
    return (
        connection.execute(
            select(manifests.c.digest)
            .join(repositories, repositories.c.id == manifests.c.repository)
            .where(repositories.c.name == repository)
            .limit(1)
        ).first()
        is not None
    )


def _manifests_of(repository: str) -> Select[Any]:
    """What `_manifest` takes, of each manifest of a repository."""
    return (
        select(*_MANIFEST, *_FACTS)
        .select_from(manifests)
        .join(repositories, repositories.c.id == manifests.c.repository)
        .outerjoin(manifest_facts, manifest_facts.c.digest == manifests.c.digest)
        .where(repositories.c.name == repository)
    )


def manifest_rows(
    connection: Connection, repository: str, digests: Sequence[str], *, payload: bool = False
) -> dict[str, ManifestRow]:
    """Manifests of a repository by their digests."""
    query = _manifests_of(repository).where(manifests.c.digest.in_(digests))
    if payload:
        query = query.join(manifest_payloads, manifest_payloads.c.digest == manifests.c.digest).add_columns(
            manifest_payloads.c.payload
        )
    return {row[0]: _manifest(row, bytes(row[-1]) if payload else b"") for row in connection.execute(query)}


def untagged_rows(connection: Connection, repository: str, limit: int) -> list[ManifestRow]:
    """Manifests that no tag, no index and no subject leads to, the newest first."""
    here = manifests.c.repository
    rows = connection.execute(
        _manifests_of(repository)
        .where(
            manifests.c.subject == "",
            ~exists().where(tags.c.repository == here, tags.c.manifest == manifests.c.digest),
            ~exists().where(
                manifest_references.c.repository == here,
                manifest_references.c.target == manifests.c.digest,
            ),
        )
        .order_by(manifests.c.pushed.desc(), manifests.c.digest)
        .limit(limit)
    )
    return [_manifest(row) for row in rows]


def digest_of_tag(connection: Connection, repository: str, tag: str) -> str | None:
    """What a tag points to."""
    return connection.execute(
        select(tags.c.manifest)
        .join(repositories, repositories.c.id == tags.c.repository)
        .where(repositories.c.name == repository, tags.c.name == tag)
    ).scalar()


def referrer_rows(
    connection: Connection, repository: str, subjects: Sequence[str], limit: int
) -> list[ManifestRow]:
    """Manifests of a repository whose subject is one of `subjects`, in the order of their pushes."""
    rows = connection.execute(
        _manifests_of(repository)
        .where(manifests.c.subject.in_(subjects))
        .order_by(manifests.c.pushed, manifests.c.digest)
        .limit(limit)
    )
    return [_manifest(row) for row in rows]


def tags_of(connection: Connection, repository: str, digest: str, limit: int) -> list[str]:
    """The tags of a manifest, and of the indexes that list it."""
    here = select(repositories.c.id).where(repositories.c.name == repository).scalar_subquery()
    direct = select(tags.c.name).where(tags.c.repository == here, tags.c.manifest == digest)
    by_index = (
        select(tags.c.name)
        .join(
            manifest_references,
            and_(
                manifest_references.c.repository == tags.c.repository,
                manifest_references.c.manifest == tags.c.manifest,
            ),
        )
        .where(
            tags.c.repository == here,
            manifest_references.c.target == digest,
            manifest_references.c.is_manifest.is_(True),
        )
    )
    both = union(direct, by_index).subquery()
    return list(connection.execute(select(both.c.name).order_by(both.c.name).limit(limit)).scalars())


def existing_tags(connection: Connection, repository: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that are tags of a repository."""
    return list(
        connection.execute(
            select(tags.c.name)
            .join(repositories, repositories.c.id == tags.c.repository)
            .where(repositories.c.name == repository, tags.c.name.in_(names))
        ).scalars()
    )


def indexes_of(connection: Connection, repository: str, digest: str, limit: int) -> list[str]:
    """The indexes of a repository that list a manifest."""
    return list(
        connection.execute(
            select(manifest_references.c.manifest)
            .join(repositories, repositories.c.id == manifest_references.c.repository)
            .where(
                repositories.c.name == repository,
                manifest_references.c.target == digest,
                manifest_references.c.is_manifest.is_(True),
            )
            .limit(limit)
        ).scalars()
    )


def users_of_blob(
    connection: Connection, digest: str, without: str, limit: int
) -> list[tuple[str, str, str]]:
    """(repository, manifest, a tag of it or of an index that lists it, or "") of manifests that need a blob,
    but for the manifest `without`; at most `limit`."""
    index = manifest_references.alias()
    of_manifest = (
        select(func.min(tags.c.name))
        .where(
            tags.c.repository == manifest_references.c.repository,
            tags.c.manifest == manifest_references.c.manifest,
        )
        .correlate(manifest_references)
        .scalar_subquery()
    )
    of_index = (
        select(func.min(tags.c.name))
        .join(index, and_(index.c.repository == tags.c.repository, index.c.manifest == tags.c.manifest))
        .where(
            index.c.repository == manifest_references.c.repository,
            index.c.target == manifest_references.c.manifest,
        )
        .correlate(manifest_references)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(repositories.c.name, manifest_references.c.manifest, func.coalesce(of_manifest, of_index))
        .select_from(repository_blobs)
        .join(manifest_references, needs_link())
        .join(repositories, repositories.c.id == repository_blobs.c.repository)
        .where(repository_blobs.c.digest == digest, manifest_references.c.manifest != without)
        .limit(limit)
    )
    return [(row[0], row[1], row[2] or "") for row in rows]


def undescribed(connection: Connection, limit: int) -> list[str]:
    """Manifests that nobody has looked at, from which no facts were taken."""
    return list(connection.execute(select(undescribed_manifests.c.digest).limit(limit)).scalars())


def undescribed_count(connection: Connection) -> int:
    """How many of them there are."""
    return connection.execute(select(func.count()).select_from(undescribed_manifests)).scalar_one()


def payloads_of(connection: Connection, digests: Sequence[str]) -> dict[str, Payload]:
    """The bytes of manifests, whichever repository has them."""
    rows = connection.execute(
        select(manifest_payloads.c.digest, func.min(manifests.c.media_type), manifest_payloads.c.payload)
        .join(manifests, manifests.c.digest == manifest_payloads.c.digest)
        .where(manifest_payloads.c.digest.in_(digests))
        .group_by(manifest_payloads.c.digest, manifest_payloads.c.payload)
    )
    return {row[0]: Payload(row[0], row[1], bytes(row[2])) for row in rows}


def blob_locations(connection: Connection, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Where blobs lie, and their sizes."""
    rows = connection.execute(
        select(blobs.c.digest, blobs.c.location, blobs.c.size).where(blobs.c.digest.in_(digests))
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def blobs_in(connection: Connection, repository: str, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
    """`blob_locations` of those that a repository has."""
    rows = connection.execute(
        select(blobs.c.digest, blobs.c.location, blobs.c.size)
        .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
        .join(repositories, repositories.c.id == repository_blobs.c.repository)
        .where(repositories.c.name == repository, blobs.c.digest.in_(digests))
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def put_facts(connection: Connection, found: Sequence[Facts], looked_at: Sequence[str]) -> None:
    """Keeps facts of manifests that are still here; nothing of `looked_at` waits any more."""
    here = set(
        connection.execute(
            select(manifest_payloads.c.digest).where(
                manifest_payloads.c.digest.in_([facts.digest for facts in found])
            )
        ).scalars()
    )
    for facts in found:
        if facts.digest not in here:
            continue
        values = {name: getattr(facts, name) for name in facts.__struct_fields__}
        connection.execute(
            insert_new(connection, manifest_facts)
            .values(**values)
            .on_conflict_do_update(index_elements=["digest"], set_=values)
        )
    connection.execute(delete(undescribed_manifests).where(undescribed_manifests.c.digest.in_(looked_at)))
