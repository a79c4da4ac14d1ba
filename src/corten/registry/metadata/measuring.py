"""How much is stored, for metrics."""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, select

from corten.registry.metadata.records import Stored
from corten.registry.metadata.schema import blobs, manifests, repositories, repository_blobs, tags, uploads


def stored(connection: Connection) -> Stored:
    """Everything, counted; blobs by what they take, each once."""
    size = connection.execute(select(func.coalesce(func.sum(blobs.c.size), 0))).scalar_one()
    return Stored(
        repositories=_count(connection, repositories),
        tags=_count(connection, tags),
        manifests=_count(connection, manifests),
        blobs=_count(connection, blobs),
        bytes=int(size),
        uploads=_count(connection, uploads),
    )


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def repository_sizes(connection: Connection) -> list[tuple[str, int]]:
    """Every repository, and the bytes of its blobs; what several share counts in each of them."""
    rows = connection.execute(
        select(repositories.c.name, func.coalesce(func.sum(blobs.c.size), 0))
        .outerjoin(repository_blobs, repository_blobs.c.repository == repositories.c.id)
        .outerjoin(blobs, blobs.c.digest == repository_blobs.c.digest)
        .group_by(repositories.c.name)
        .order_by(repositories.c.name)
    )
    return [(name, int(size)) for name, size in rows]
