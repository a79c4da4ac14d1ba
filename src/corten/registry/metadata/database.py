"""The connection to SQLite or PostgreSQL: transactions, retries, and what goes wrong as one kind of error."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from corten.errors import InvalidArgument, Unavailable
from corten.registry.metadata.migrations import migrate

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 8
BUSY_SECONDS = 15
POOL = 16
_READING: dict[str, Any] = {"reading": True}
# SQLite's readers see one moment anyway.
_SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


class Database:
    """Transactions on one database. Blocking: the caller chooses the thread.

    `write` is on the disk when it returns. `write_lightly` survives every crash of a process, but may be
    taken back by a power cut: for upload sessions, whose bytes are checked again anyway.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise InvalidArgument(f"invalid database URL: {error}") from error
        if parsed.get_backend_name() == "sqlite":
            self.path = parsed.database or ""
            if not self.path or self.path == ":memory:":
                raise InvalidArgument("the registry's SQLite database has to be a file: sqlite:///PATH")
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            _make_private(self.path)
            self._engine = _sqlite_engine(parsed, "FULL")
            self._light = _sqlite_engine(parsed, "NORMAL")
        elif parsed.get_backend_name() == "postgresql":
            self.path = ""
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            try:
                self._engine = create_engine(
                    parsed, pool_size=POOL, max_overflow=0, pool_pre_ping=True, pool_timeout=BUSY_SECONDS
                )
            except (NoSuchModuleError, ModuleNotFoundError) as error:
                raise InvalidArgument(
                    "PostgreSQL needs its driver: pip install 'corten[registry]'"
                ) from error
            self._light = self._engine
        else:
            raise InvalidArgument(
                f"{parsed.get_backend_name()} is no database for the registry: sqlite:///PATH or postgresql://…"
            )
        self.url = parsed

    @property
    def is_sqlite(self) -> bool:
        return bool(self.path)

    def migrate(self) -> int:
        """Brings the schema to the newest version; returns the one that was found."""
        return self.write(migrate)

    def write(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Runs `operation` in a transaction, again when the database says that it could not decide
        (deadlock).

        Unavailable when the database does not answer, or is full.
        """
        return _repeated(self._engine, operation, *args, **kwargs)

    def write_lightly(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`write` for what a power cut may take back."""
        return _repeated(self._light, operation, *args, **kwargs)

    def read(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Runs a query."""
        try:
            with self._engine.connect() as connection:
                return operation(connection.execution_options(**_READING), *args, **kwargs)
        except DBAPIError as error:
            raise _unavailable(error) from error

    def snapshot(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`read` for several queries that have to see one and the same moment. Large results are streamed."""
        options = _READING if self.is_sqlite else _SNAPSHOT
        try:
            with self._engine.connect() as connection:
                return operation(connection.execution_options(**options), *args, **kwargs)
        except DBAPIError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()
        self._light.dispose()


def _make_private(path: str) -> None:
    """Hashes of passwords and keys are in it: no other user of this machine has to read it. SQLite makes its
    other files as this one is."""
    # What cannot be made here SQLite reports better. An existing file is not opened: to close it again would
    # take away the locks of other connections of this process.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for part in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(os.stat(part).st_mode)
            if mode & 0o007:
                os.chmod(part, mode & 0o770)


def _repeated(
    engine: Engine,
    operation: Callable[Concatenate[Connection, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    for attempt in range(ATTEMPTS):
        try:
            with engine.begin() as connection:
                return operation(connection, *args, **kwargs)
        except DBAPIError as error:
            if attempt + 1 < ATTEMPTS and _may_be_repeated(error):
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
                continue
            raise _unavailable(error) from error
    raise AssertionError("unreachable")


def _sqlite_engine(url: URL, synchronous: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's own transactions begin too late (at the first change): every transaction here takes the
        # write lock.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _may_be_repeated(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    # serialization_failure, deadlock_detected, and keys that another transaction has just taken or removed
    return code in ("40001", "40P01", "23503", "23505") or isinstance(error, InterfaceError)


def _unavailable(error: DBAPIError) -> Unavailable:
    reason = str(error.orig).strip().partition("\n")[0]
    if isinstance(error, OperationalError) and "disk is full" in reason:
        return Unavailable("the registry's database cannot be written: its disk is full")
    return Unavailable(f"the registry's database does not answer: {reason}")
