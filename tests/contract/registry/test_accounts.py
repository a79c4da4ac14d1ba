"""What the database does about accounts, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from corten.errors import Conflict, NotFound
from corten.registry.accounts.permissions import parse, text_of
from corten.registry.accounts.records import Account, Kind, RefreshToken
from corten.registry.accounts.signing import new_key
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database
from tests.registry_stores import PostgresServer, postgres_server

HOUR = 3_600_000


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    yield from postgres_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        url = request.getfixturevalue("postgres").new_database()
    found = Database(url)
    found.migrate()
    yield found
    found.close()


def add(database: Database, name: str, *texts: str, kind: Kind = Kind.USER, expires: int = 0) -> bool:
    new = Account(name, kind, f"hash of {name}", expires=expires)
    return database.write(accounts.add, new, [parse(text) for text in texts], new_key())


def granted(database: Database, name: str) -> list[str]:
    return [text_of(found) for found in database.read(accounts.load).permissions.get(name, ())]


def refresh(database: Database, hash_: str, account: str, used: int = 0) -> None:
    moment = used or accounts.now()
    database.write(accounts.add_refresh, RefreshToken(hash_, account, "client", moment, moment))


def test_accounts_come_and_go(database: Database) -> None:
    assert not database.read(accounts.any_account)
    assert database.read(accounts.generation) == 0
    assert add(database, "alice", "pull:a", "push,pull:b/*")
    assert not add(database, "robot$ci", "pull:**", kind=Kind.ROBOT, expires=5)
    with pytest.raises(Conflict, match="alice already"):
        add(database, "alice")
    known = database.read(accounts.load)
    alice, robot = known.accounts
    assert (alice.name, alice.kind, alice.secret, alice.disabled) == (
        "alice",
        Kind.USER,
        "hash of alice",
        False,
    )
    assert alice.stamp and alice.created and (robot.kind, robot.expires) == (Kind.ROBOT, 5)
    assert len(known.keys) == 1 and len(known.keys[0].private) == 32
    assert granted(database, "alice") == ["pull:a", "pull,push:b/*"]
    refresh(database, "1", "alice")
    database.write(accounts.remove, "alice", open_=False)
    assert granted(database, "alice") == [] and database.read(accounts.find_refresh, "1") is None
    with pytest.raises(Conflict, match="last account"):
        database.write(accounts.remove, "robot$ci", open_=False)
    assert database.read(accounts.any_account)
    database.write(accounts.remove, "robot$ci", open_=True)
    assert not database.read(accounts.any_account)


def test_every_change_is_noticed(database: Database) -> None:
    seen = {database.read(accounts.generation)}

    def changed() -> bool:
        now = database.read(accounts.generation)
        new = now not in seen
        seen.add(now)
        return new

    add(database, "alice")
    assert changed()
    for change, *arguments in (
        (accounts.grant, "alice", [parse("push:a")], new_key()),
        (accounts.revoke, "alice", [parse("push:a")]),
        (accounts.set_secret, "alice", "other"),
        (accounts.set_disabled, "alice", True),
        (accounts.set_disabled, "alice", False),
        (accounts.rehash, "alice", "other", "better"),
        (accounts.grant, "anonymous", [parse("pull:a")], new_key()),
        (accounts.rotate, new_key(), -1, HOUR),
    ):
        database.write(change, *arguments)  # type: ignore[arg-type]
        assert changed(), change
    database.write(accounts.remove, "alice", open_=False)
    assert changed()


def test_a_change_that_fails_changes_nothing(database: Database) -> None:
    add(database, "alice", "pull:a")
    before = database.read(accounts.load)
    for change, *arguments in (
        (accounts.set_secret, "nobody", "x"),
        (accounts.set_disabled, "nobody", True),
        (accounts.grant, "nobody", [parse("pull:a")], new_key()),
        (accounts.revoke, "alice", [parse("pull:a"), parse("pull:b")]),
        (accounts.revoke, "alice", [parse("push:a")]),
    ):
        with pytest.raises(NotFound):
            database.write(change, *arguments)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        database.write(accounts.remove, "nobody", open_=False)
    assert database.read(accounts.load) == before


def test_grants_add_up_and_revokes_take_away(database: Database) -> None:
    add(database, "alice")
    key = new_key()
    database.write(accounts.grant, "alice", [parse("pull:a"), parse("push:a"), parse("delete:b")], key)
    assert granted(database, "alice") == ["pull,push:a", "delete:b"]
    database.write(accounts.revoke, "alice", [parse("pull:a")])
    assert granted(database, "alice") == ["push:a", "delete:b"]
    database.write(accounts.revoke, "alice", [parse("push:a")])
    assert granted(database, "alice") == ["delete:b"]


def test_the_anonymous_account_comes_to_be_by_a_grant(database: Database) -> None:
    database.write(accounts.grant, "anonymous", [parse("pull:a")], new_key())
    database.write(accounts.grant, "anonymous", [parse("pull:b")], new_key())
    assert granted(database, "anonymous") == ["pull:a", "pull:b"]
    assert database.read(accounts.any_account)
    assert database.read(accounts.account, "anonymous").kind is Kind.ANONYMOUS


def test_another_password_ends_what_was_before(database: Database) -> None:
    add(database, "alice")
    before = database.read(accounts.account, "alice")
    refresh(database, "1", "alice")
    database.write(accounts.rehash, "alice", before.secret, "the same, better hashed")
    rehashed = database.read(accounts.account, "alice")
    assert rehashed.secret == "the same, better hashed" and rehashed.stamp == before.stamp
    assert database.read(accounts.find_refresh, "1") is not None
    database.write(accounts.set_secret, "alice", "new")
    # A sign-in that was under way does not bring the old one back.
    database.write(accounts.rehash, "alice", rehashed.secret, "old")
    after = database.read(accounts.account, "alice")
    assert after.secret == "new" and after.stamp != before.stamp
    assert database.read(accounts.find_refresh, "1") is None


def test_sign_ins_that_last(database: Database) -> None:
    add(database, "alice")
    add(database, "bob")
    now = accounts.now()
    refresh(database, "bob's", "bob", 1)
    for number in range(accounts.SIGN_INS + 5):
        refresh(database, f"{number:04}", "alice", now - HOUR + number)
    kept = [found.hash for found in database.read(accounts.all_refresh) if found.account == "alice"]
    assert kept == [f"{number:04}" for number in range(5, accounts.SIGN_INS + 5)]
    database.write(accounts.use_refresh, "0005")
    database.write(accounts.expire_refresh, HOUR // 2)
    assert [found.hash for found in database.read(accounts.all_refresh)] == ["0005"]
    refresh(database, "0006", "bob")
    with pytest.raises(Conflict, match="more than one"):
        database.write(accounts.drop_refresh, "00")
    assert database.write(accounts.drop_refresh, "%") is None
    ended = database.write(accounts.drop_refresh, "0005")
    assert ended is not None and ended.account == "alice"
    database.write(accounts.set_disabled, "bob", True)
    assert database.read(accounts.all_refresh) == []


def test_an_import_adds_all_or_none(database: Database) -> None:
    add(database, "alice", "pull:a")
    new, old = database.write(
        accounts.add_all, {"alice": "x", "bob": "y", "eve": "z"}, [parse("pull:b")], new_key()
    )
    assert (new, old) == (["bob", "eve"], ["alice"])
    assert database.read(accounts.account, "alice").secret == "hash of alice"
    assert granted(database, "alice") == ["pull:a"] and granted(database, "eve") == ["pull:b"]


def test_keys_take_turns_and_go_when_their_tokens_have_ended(database: Database) -> None:
    add(database, "alice")
    (first,) = database.read(accounts.load).keys
    assert not database.write(accounts.rotate, new_key(), HOUR, HOUR)
    # Of several replicas that find the key old, one adds a key.
    second = [new_key(0) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        added = list(threads.map(lambda key: database.write(accounts.rotate, key, 0, HOUR), second[:1]))
        added += threads.map(lambda key: database.write(accounts.rotate, key, HOUR, HOUR), second[1:])
    assert added == [True, False, False, False]
    keys = {key.id for key in database.read(accounts.load).keys}
    assert keys == {first.id, second[0].id}
    assert database.write(accounts.rotate, new_key(), HOUR, -1000)
    assert {key.id for key in database.read(accounts.load).keys} == {second[0].id}


def test_replicas_that_rotate_at_once_add_one_key(database: Database) -> None:
    add(database, "alice")
    old = new_key(-3600)
    database.write(lambda connection: accounts.add_key(connection, old))
    database.write(lambda connection: _drop_others(connection, old.id))
    with ThreadPoolExecutor(4) as threads:
        added = list(
            threads.map(lambda key: database.write(accounts.rotate, key, HOUR // 2, HOUR), [new_key()] * 4)
        )
    assert sorted(added) == [False, False, False, True]
    assert len(database.read(accounts.load).keys) == 2


def _drop_others(connection: object, kept: str) -> None:
    from sqlalchemy import Connection, delete

    from corten.registry.metadata.schema import signing_keys

    assert isinstance(connection, Connection)
    connection.execute(delete(signing_keys).where(signing_keys.c.id != kept))
