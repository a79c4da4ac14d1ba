"""Versions of the schema. All steps that a database lacks run in one transaction (DDL is transactional
in SQLite and in PostgreSQL), under a lock: a database is at one version or at another, never between
two."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, inspect, select, text

from corten.errors import Unsupported
from corten.registry.metadata.schema import (
    TABLES,
    account_permissions,
    account_state,
    accounts,
    cached_manifests,
    cached_referrers,
    cached_tags,
    instance,
    manifest_facts,
    manifest_payloads,
    refresh_tokens,
    schema_version,
    signing_keys,
    tags,
    undescribed_manifests,
    upstream_pauses,
)

Step = Callable[[Connection], None]


def _accounts(connection: Connection) -> None:
    TABLES.create_all(
        connection,
        [account_state, accounts, account_permissions, refresh_tokens, signing_keys],
        checkfirst=False,
    )


def _upstreams(connection: Connection) -> None:
    TABLES.create_all(connection, [cached_manifests, cached_tags, upstream_pauses], checkfirst=False)


def _page(connection: Connection) -> None:
    TABLES.create_all(connection, [manifest_facts, undescribed_manifests], checkfirst=False)
    connection.execute(
        undescribed_manifests.insert().from_select(["digest"], select(manifest_payloads.c.digest))
    )
    next(index for index in tags.indexes if index.name == "tags_updated").create(connection)


def _referrers(connection: Connection) -> None:
    TABLES.create_all(connection, [cached_referrers, instance], checkfirst=False)


# version: what leads to it from the version before. A new database gets the newest tables at once.
STEPS: Mapping[int, Step] = {2: _accounts, 3: _upstreams, 4: _page, 5: _referrers}
CURRENT = max(STEPS, default=1)

_LOCK = 0x636F7274656E  # "corten"; PostgreSQL's advisory locks are numbers


def lock(connection: Connection) -> None:
    """Until the end of the transaction nobody else changes the schema. (SQLite has one writer anyway.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def version(connection: Connection) -> int:
    """The database's; 0 when no registry has been here."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(select(schema_version.c.version)).scalar_one())


def migrate(connection: Connection, steps: Mapping[int, Step] = STEPS) -> int:
    """Brings the database to the newest version, within the caller's transaction; returns the version it
    had (0: new).

    Unsupported when a newer registry has been here: its tables may mean something that this one does not
    know.
    """
    current = max(steps, default=1)
    lock(connection)
    found = version(connection)
    if not found:
        TABLES.create_all(connection)
        connection.execute(schema_version.insert().values(version=current))
        return 0
    if found > current:
        raise Unsupported(
            f"the registry's database is of version {found}, and this corten knows {current}: use the corten"
            " that upgraded it, or restore a backup that was made before"
        )
    for number in range(found + 1, current + 1):
        steps[number](connection)
    if found < current:
        connection.execute(schema_version.update().values(version=current))
    return found
