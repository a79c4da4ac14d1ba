"""The database file: opening it, its settings, and the version of its schema.

WAL with synchronous=NORMAL survives a SIGKILL of the engine at any moment without an fsync per transaction.
Every package makes its own tables; this module keeps `PRAGMA user_version` for all of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corten.errors import IntegrityError, NoSpace, Unavailable, Unsupported

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    config BLOB NOT NULL,
    state BLOB NOT NULL
) WITHOUT ROWID;
"""


class Database(sqlite3.Connection):
    """Says in Corten's words what a statement cannot do, for each package that keeps tables in it."""

    def execute(self, *args: Any, **kwargs: Any) -> sqlite3.Cursor:
        """As sqlite3's; NoSpace when the disk is full, Unavailable for what else it refuses."""
        try:
            return super().execute(*args, **kwargs)
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise NoSpace(
                    "cannot write the database: the disk is full; free some space and try again"
                ) from error
            raise Unavailable(f"cannot write the database: {error}") from error


def open_database(path: Path) -> sqlite3.Connection:
    """Opens (or makes) the database. In autocommit mode: see `transaction`.

    IntegrityError when the file is damaged, Unsupported when a newer version of Corten wrote it.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=10, factory=Database
    )
    try:
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")
        # The default of 1000 pages makes the engine stop for a checkpoint every few hundred starts.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        _check(connection, path)
        connection.executescript(_TABLES)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except (sqlite3.OperationalError, Unavailable) as error:
        connection.close()
        if "full" in str(error):
            raise NoSpace(f"cannot open the database {path}: the disk is full") from error
        raise IntegrityError(f"cannot open the database {path}: {error.__cause__ or error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise IntegrityError(
            f"the database {path} is damaged ({error}): restore a backup of it, or move it away to begin anew"
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise Unsupported(
            f"the database {path} has schema {version}, this version of corten knows {SCHEMA_VERSION}: "
            "use the newer corten that wrote it"
        )
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise sqlite3.DatabaseError(result)


def execute(
    connection: sqlite3.Connection, statement: str, values: tuple[object, ...] = ()
) -> sqlite3.Cursor:
    """See `Database.execute`."""
    return connection.execute(statement, values)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction around several statements; must not be held across an await."""
    execute(connection, "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    try:
        execute(connection, "COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
