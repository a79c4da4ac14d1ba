"""Backups of every metadata store, restored into every other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import Column, Connection, insert, select, text

from corten.errors import ArchiveError, Conflict, NotFound, Unsupported
from corten.registry.backup import read_backup, read_header, write_backup
from corten.registry.metadata import dumping
from corten.registry.metadata.database import Database
from corten.registry.metadata.migrations import CURRENT
from corten.registry.metadata.records import NewManifest, Reference, Upload
from corten.registry.metadata.schema import TABLES, instance, leases, schema_version
from corten.registry.metadata.store import SqlMetadata
from tests.registry_server import OCI_MANIFEST, digest_of
from tests.registry_stores import PostgresServer, postgres_server

HOUR = 3_600_000
KINDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    yield from postgres_server()


class Databases:
    """New ones, of both kinds."""

    def __init__(self, request: pytest.FixtureRequest, directory: Path) -> None:
        self._request = request
        self._directory = directory
        self._open: list[Database] = []

    def new(self, kind: str) -> Database:
        if kind == "sqlite":
            url = f"sqlite:///{self._directory}/{len(self._open)}.db"
        else:
            url = self._request.getfixturevalue("postgres").new_database()
        database = Database(url)
        self._open.append(database)
        database.migrate()
        return database

    def close(self) -> None:
        for database in self._open:
            database.close()


@pytest.fixture
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    found = Databases(request, tmp_path)
    yield found
    found.close()


def rows(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        table.name: [
            tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
            for row in connection.execute(select(table).order_by(*table.primary_key.columns))
        ]
        for table in TABLES.sorted_tables
        if table.name not in ("instance", "leases")
    }


def fill_every_table(connection: Connection) -> None:
    """A row in each table that has none: whatever tables there will be."""
    for table in TABLES.sorted_tables:
        if table is schema_version or connection.execute(select(table).limit(1)).first() is not None:
            continue
        connection.execute(insert(table).values({c.name: _value(connection, c) for c in table.columns}))


def _value(connection: Connection, column: Column[object]) -> object:
    for key in column.foreign_keys:
        first = select(key.column).order_by(*key.column.table.primary_key.columns).limit(1)
        return connection.execute(first).scalar_one()
    return {int: 7, str: 'ünï"\n\r', bool: True, bytes: bytes(range(256)), float: 0.5}[
        column.type.python_type
    ]


async def push(store: SqlMetadata, repository: str, data: bytes) -> None:
    digest = digest_of(data)
    upload = Upload(digest[7:39], repository, "sha256")
    await store.begin_upload(upload)
    await store.finish_upload(upload, digest, len(data), f"blobs/{digest}", HOUR, [])
    payload = b"manifest of " + data
    manifest = NewManifest(
        digest_of(payload), OCI_MANIFEST, payload, references=(Reference(digest, len(data)),)
    )
    assert await store.put_manifest(repository, manifest, ["latest", "ä".encode().hex()]) == []


def filled(database: Database, loop_runner: asyncio.Runner) -> Database:
    store = SqlMetadata(Database(str(database.url.render_as_string(hide_password=False))))
    for number in range(3):
        loop_runner.run(push(store, f"app/{number}", b"layer %d" % number))
    loop_runner.run(store.close())
    database.write(fill_every_table)
    return database


def restore(database: Database, path: Path, replace: bool = False) -> int:
    return database.write(dumping.restore, lambda: read_backup(path), replace)


@pytest.mark.parametrize("into", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_every_row_comes_back(
    databases: Databases, loop_runner: asyncio.Runner, tmp_path: Path, source: str, into: str
) -> None:
    one, two = filled(databases.new(source), loop_runner), databases.new(into)
    path = tmp_path / "backup"
    written = write_backup(one, path, "1.0")
    assert path.stat().st_mode & 0o777 == 0o600
    assert written.size == path.stat().st_size
    header = read_header(path)
    assert (header.corten, header.database) == ("1.0", source)
    assert restore(two, path) == written.rows
    before, after = one.read(rows), two.read(rows)
    assert {name: len(found) for name, found in after.items()} == {n: len(f) for n, f in before.items()}
    assert after == before
    for own in (instance, leases):  # another registry has another name, and works at other things
        assert two.read(lambda c, own=own: c.execute(select(own)).all()) == []
    # It is a database to go on with: numbers, keys and cascades are as they were.
    store = SqlMetadata(two)
    loop_runner.run(push(store, "new", b"another layer"))
    found = loop_runner.run(store.manifest("app/1", "latest"))
    assert found is not None and found.payload == b"manifest of layer 1"
    assert loop_runner.run(store.delete_manifest("app/1", found.digest)) == ""
    assert loop_runner.run(store.tag_names("app/1", "", 10)) == []
    loop_runner.run(store.close())


@pytest.mark.parametrize("kind", KINDS)
def test_only_into_an_empty_database(
    databases: Databases, loop_runner: asyncio.Runner, tmp_path: Path, kind: str
) -> None:
    one, two = filled(databases.new(kind), loop_runner), databases.new(kind)
    path = tmp_path / "backup"
    write_backup(two, path, "")
    before = one.read(rows)
    with pytest.raises(Conflict, match="--replace"):
        restore(one, path)
    assert one.read(rows) == before
    restore(one, path, replace=True)
    assert one.read(rows) == two.read(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_is_one_moment(
    databases: Databases,
    loop_runner: asyncio.Runner,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes while it is written is not in it, whole or in part."""
    database = filled(databases.new(kind), loop_runner)
    before = database.read(rows)
    other = SqlMetadata(Database(str(database.url.render_as_string(hide_password=False))))
    pushed = []

    def pushing(value: object) -> object:
        if not pushed:
            pushed.append(1)
            loop_runner.run(push(other, "late", b"late"))
        return plain(value)

    plain = dumping._plain
    monkeypatch.setattr(dumping, "_plain", pushing)
    write_backup(database, tmp_path / "backup", "")
    loop_runner.run(other.close())
    assert pushed
    assert database.read(rows) != before
    again = databases.new(kind)
    restore(again, tmp_path / "backup")
    assert again.read(rows) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_backup_is_upgraded(
    databases: Databases, loop_runner: asyncio.Runner, tmp_path: Path, kind: str
) -> None:
    """It brings the tables that it knows; then the steps run that a database of its time would need."""
    one, two = filled(databases.new(kind), loop_runner), databases.new(kind)
    write_backup(one, tmp_path / "backup", "")

    def step(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE novelty (x INTEGER)"))
        connection.execute(text("ALTER TABLE tags ADD COLUMN pinned INTEGER DEFAULT 3 NOT NULL"))

    steps = {CURRENT + 1: step}
    two.write(dumping.restore, lambda: read_backup(tmp_path / "backup"), False, steps)
    assert two.read(lambda c: c.execute(text("SELECT pinned FROM tags")).scalars().all()) == [3] * 6
    assert two.read(lambda c: c.execute(text("SELECT count(*) FROM novelty")).scalar_one()) == 0
    assert two.read(lambda c: c.execute(select(schema_version.c.version)).scalar_one()) == CURRENT + 1


def test_a_newer_backup_is_refused(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = databases.new("sqlite")
    monkeypatch.setattr(dumping, "CURRENT", CURRENT + 1)
    database.write(lambda c: c.execute(schema_version.update().values(version=CURRENT + 1)))
    write_backup(database, tmp_path / "backup", "")
    with pytest.raises(Unsupported, match=f"version {CURRENT + 1}"):
        restore(databases.new("sqlite"), tmp_path / "backup")


def test_another_versions_database_is_not_backed_up(databases: Databases, tmp_path: Path) -> None:
    database = databases.new("sqlite")
    database.write(lambda c: c.execute(schema_version.update().values(version=99)))
    with pytest.raises(Unsupported, match="version 99"):
        write_backup(database, tmp_path / "backup", "")
    assert list(tmp_path.glob("*backup*")) == []


def test_a_database_without_a_registry(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(NotFound, match="no registry"):
        write_backup(database, tmp_path / "backup", "")
    assert list(tmp_path.glob("*backup*")) == []
    database.close()


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "more", "missing", "other"])
def test_damage_leaves_everything_as_it_was(
    databases: Databases, loop_runner: asyncio.Runner, tmp_path: Path, damage: str
) -> None:
    import zstandard

    one, two = filled(databases.new("sqlite"), loop_runner), filled(databases.new("sqlite"), loop_runner)
    path = tmp_path / "backup"
    write_backup(one, path, "")
    data = path.read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(data).read()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "bit":
        data = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    elif damage == "empty":
        data = b""
    elif damage == "text":
        data = b"no backup at all" * 100
    elif damage == "more":
        data = zstandard.compress(lines + b"[1]\n")
    elif damage == "missing":
        kept = lines.splitlines(keepends=True)
        data = zstandard.compress(b"".join(kept[:-5] + kept[-4:]))
    else:
        data = zstandard.compress(lines.replace(b'"late', b'"gate').replace(b"app/1", b"app/9"))
    path.write_bytes(data)
    before = two.read(rows)
    with pytest.raises((ArchiveError, Unsupported)):
        restore(two, path, replace=True)
    assert two.read(rows) == before


def test_a_backup_that_fails_leaves_the_one_before(
    databases: Databases, loop_runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = filled(databases.new("sqlite"), loop_runner)
    place = tmp_path / "place"
    place.mkdir()
    (place / "backup").write_bytes(b"before")

    def broken(value: object) -> object:
        raise RuntimeError("killed")

    monkeypatch.setattr(dumping, "_plain", broken)
    with pytest.raises(RuntimeError):
        write_backup(database, place / "backup", "")
    assert os.listdir(place) == ["backup"]
    assert (place / "backup").read_bytes() == b"before"
