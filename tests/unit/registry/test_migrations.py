from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from corten.errors import Unsupported
from corten.registry.metadata.database import Database
from corten.registry.metadata.migrations import CURRENT, migrate


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path}/registry.db")
    assert found.migrate() == 0
    return found


def version(database: Database) -> int:
    return int(database.read(lambda c: c.execute(text("SELECT version FROM schema_version")).scalar_one()))


def tables(database: Database) -> set[str]:
    return set(database.read(lambda c: c.execute(text("SELECT name FROM sqlite_master")).scalars().all()))


def test_new_and_again(database: Database) -> None:
    assert version(database) == CURRENT
    assert database.migrate() == CURRENT


def _make(name: str) -> object:
    def step(connection: Connection) -> None:
        connection.execute(text(f"CREATE TABLE {name} (x INTEGER)"))

    return step


def test_steps_are_done_in_order(database: Database) -> None:
    steps = {CURRENT + 1: _make("one"), CURRENT + 2: _make("two")}
    assert database.write(migrate, steps) == CURRENT
    assert version(database) == CURRENT + 2
    assert {"one", "two"} <= tables(database)


def test_a_step_that_fails_leaves_nothing(database: Database) -> None:
    """Not even the steps before it: the database is what it was."""

    def broken(connection: Connection) -> None:
        _make("half")(connection)  # type: ignore[operator]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        database.write(migrate, {CURRENT + 1: _make("one"), CURRENT + 2: broken})
    assert version(database) == CURRENT
    assert not {"one", "half"} & tables(database)


def test_a_database_from_before_upstreams_told_of_referrers(database: Database) -> None:
    for statement in (
        "DROP TABLE cached_referrers",
        "DROP TABLE instance",
        "UPDATE schema_version SET version = 4",
    ):
        database.write(lambda c, statement=statement: c.execute(text(statement)))
    assert database.migrate() == 4
    assert {"cached_referrers", "instance"} <= tables(database)


def test_a_newer_database_is_refused(database: Database) -> None:
    database.write(lambda c: c.execute(text("UPDATE schema_version SET version = 99")))
    with pytest.raises(Unsupported, match="version 99"):
        database.migrate()


def test_database_errors_are_one_kind(tmp_path: Path) -> None:
    from corten.errors import Unavailable

    found = Database(f"sqlite:///{tmp_path}/registry.db")
    with pytest.raises(Unavailable, match="does not answer") as caught:
        found.write(lambda c: c.execute(text("SELECT * FROM absent")))
    assert isinstance(caught.value.__cause__, OperationalError)
