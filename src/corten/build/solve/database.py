"""The database of the build cache: records, what is known of layers, and what the last builds were made of.

WAL with synchronous=NORMAL: no fsync per transaction, and SIGKILL at any moment loses nothing. A cache can be
made again: a file that is damaged, or that a newer version wrote, is begun anew.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corten.errors import NoSpace, Unavailable

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS layers (
    id TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    inodes INTEGER NOT NULL,
    diff_id TEXT NOT NULL DEFAULT '',
    blob TEXT NOT NULL DEFAULT '',
    origin TEXT NOT NULL DEFAULT '',
    made_by TEXT NOT NULL DEFAULT '',
    chain_id TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY,
    portable TEXT NOT NULL,
    partial TEXT NOT NULL,
    identity TEXT NOT NULL,
    chain TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    used INTEGER NOT NULL,
    uses INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_partial ON records (partial);
CREATE INDEX IF NOT EXISTS records_portable ON records (portable);
CREATE TABLE IF NOT EXISTS contents (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mounts (
    name TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    created INTEGER NOT NULL,
    used INTEGER NOT NULL,
    uses INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS steps (
    scope TEXT NOT NULL,
    stage TEXT NOT NULL,
    position INTEGER NOT NULL,
    ingredients BLOB NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (scope, stage, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (
    digest TEXT PRIMARY KEY,
    entries BLOB NOT NULL
) WITHOUT ROWID;
"""


class CacheDatabase:
    """Thread-safe: one statement, or one `transaction`, at a time. NoSpace when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                raise NoSpace(f"cannot open the build cache {path}: the disk is full") from error
            for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                name.unlink(missing_ok=True)
            self._connection = _open(path)

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row of a statement."""
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "full" in str(error):
                    raise NoSpace(
                        "cannot write the build cache: the disk is full; free some space and try again"
                    ) from error
                raise Unavailable(f"cannot use the build cache: {error}") from error

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, if there is any."""
        rows = self.all(sql, values)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nests. Not to be held across an await."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self.all("BEGIN IMMEDIATE")
            try:
                yield
                self.all("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        """A full disk may have ended the transaction already, or have left it open."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """No statement after this one."""
        with self._lock:
            self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if version > _VERSION or state != "ok":
            raise sqlite3.DatabaseError("damaged, or of a newer version")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version={_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
