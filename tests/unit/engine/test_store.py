"""The database file, and the catalog over it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from corten.api.container import ContainerConfig
from corten.api.host_config import HostConfig
from corten.engine.catalog import Catalog
from corten.engine.record import Container, Definition, MountRecord, StateRecord
from corten.engine.state import Status
from corten.engine.store import SCHEMA_VERSION, open_database, transaction
from corten.errors import Conflict, IntegrityError, InvalidArgument, NotFound, Unsupported


@pytest.fixture
def connection(tmp_path: Path):  # type: ignore[no-untyped-def]
    connection = open_database(tmp_path / "engine.db")
    yield connection
    connection.close()


def container(identity: str, name: str, **definition: object) -> Container:
    return Container(
        identity,
        name,
        1,
        Definition(
            config=ContainerConfig(image="x"), host_config=HostConfig(), image_id="sha256:x", **definition
        ),  # type: ignore[arg-type]
        StateRecord(),
    )


def test_settings_and_version(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    other.close()
    with pytest.raises(Unsupported, match="use the newer corten"):
        open_database(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with pytest.raises(IntegrityError, match="is damaged"):
        open_database(path)


def test_a_transaction_is_all_or_nothing(connection: sqlite3.Connection) -> None:
    catalog = Catalog(connection)
    with pytest.raises(RuntimeError), transaction(connection):
        catalog.add(container("a" * 64, "one"))
        raise RuntimeError
    assert connection.execute("SELECT count(*) FROM containers").fetchone() == (0,)


def test_what_is_written_is_read_again(connection: sqlite3.Connection) -> None:
    catalog = Catalog(connection)
    mount = MountRecord(type="volume", destination="/v", name="store")
    one = container("a" * 64, "one", mounts=[mount], path="sh", args=["-c", "true"])
    catalog.add(one)
    one.state.exit_code = 7
    catalog.move(one, Status.RUNNING)
    catalog.rename(one, "first")
    again = Catalog(connection)
    again.load()
    found = again.resolve("first")
    assert (found.id, found.state.exit_code, found.state.status) == ("a" * 64, 7, Status.RUNNING)
    assert found.definition == one.definition
    assert again.users_of_volume("store") == [found]
    again.delete(found)
    third = Catalog(connection)
    third.load()
    assert len(third) == 0


def test_references(connection: sqlite3.Connection) -> None:
    catalog = Catalog(connection)
    one, two = container("abc1" + "0" * 60, "one"), container("abc2" + "0" * 60, "abc1")
    catalog.add(one)
    catalog.add(two)
    assert catalog.resolve("one") is catalog.resolve("/one") is catalog.resolve(one.id) is one
    assert catalog.resolve("abc1") is two, "a name goes before a prefix"
    assert catalog.resolve("abc10") is one
    with pytest.raises(InvalidArgument, match="multiple IDs found with provided prefix: abc"):
        catalog.resolve("abc")
    for ref in ("nope", "fff", "abc3"):
        with pytest.raises(NotFound, match=f"No such container: {ref}"):
            catalog.resolve(ref)


def test_names(connection: sqlite3.Connection) -> None:
    catalog = Catalog(connection)
    catalog.add(container("a" * 64, "one"))
    with pytest.raises(Conflict, match="already in use"):
        catalog.check_name("one")
    for name in ("a", "-x", "a b", "ä1", "a/b", ""):
        with pytest.raises(InvalidArgument, match="Invalid container name"):
            catalog.check_name(name)
    catalog.reserve("two")
    with pytest.raises(Conflict, match="being taken"):
        catalog.reserve("two")
    catalog.release("two")
    catalog.check_name("two")


def test_a_broken_row_is_named(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO containers VALUES ('abc', 'n', 1, '{}', '{}')")
    with pytest.raises(IntegrityError, match="the record of container abc is not readable"):
        Catalog(connection).load()
