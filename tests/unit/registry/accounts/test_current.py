"""How a worker follows the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("argon2")
pytest.importorskip("jwt")

from corten.errors import Unavailable
from corten.registry.accounts import current as following
from corten.registry.accounts.access_tokens import AccessTokens, BadToken
from corten.registry.accounts.current import Current
from corten.registry.accounts.permissions import parse
from corten.registry.accounts.records import Account, Kind
from corten.registry.accounts.scopes import Asked
from corten.registry.accounts.settings import Tokens
from corten.registry.accounts.signing import new_key
from corten.registry.accounts.store import AccountStore
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database

DAY = 86_400


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.02)
    found = Database(f"sqlite:///{tmp_path}/registry.db")
    found.migrate()
    yield found
    found.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not check():
            await asyncio.sleep(0.02)


async def test_changes_are_followed_and_troubles_survived(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AccountStore(database)
    current = Current(store, Tokens())
    await current.start()
    assert current.book.is_empty
    database.write(accounts.add, Account("alice", Kind.USER), [parse("pull:a")], new_key())
    await until(lambda: current.book.account("alice") is not None)

    async def fails() -> int:
        raise Unavailable("the database is away")

    monkeypatch.setattr(store, "generation", fails)
    database.write(accounts.set_disabled, "alice", True)
    await asyncio.sleep(0.2)
    assert current.book.account("alice") is not None
    monkeypatch.undo()
    await until(lambda: current.book.account("alice") is None)
    await current.close()
    await store.close()


async def test_keys_rotate_and_old_tokens_come_to_their_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PUBLISHED_SECONDS", 1)
    database.write(accounts.add, Account("alice", Kind.USER), [parse("pull:a")], new_key(-31 * DAY))
    store, tokens = AccountStore(database), AccessTokens(Tokens())
    current, other = Current(store, Tokens()), Current(store, Tokens())
    await current.start()
    alice = current.book.account("alice")
    assert alice is not None
    old = tokens.issue(current.book, alice, Asked({}))
    assert old is not None
    await other.start()
    # Two replicas find the key old, one of them adds another one; it is known before it signs.
    await until(lambda: len(current.book.keys) == 2 and len(other.book.keys) == 2)
    assert set(current.book.keys) == set(other.book.keys)
    first = current.book.signing_key()
    await until(lambda: current.book.signing_key() != first)
    new = tokens.issue(current.book, alice, Asked({}))
    assert new is not None
    for text in (old.text, new.text):
        for replica in (current, other):
            assert AccessTokens(Tokens()).verify(replica.book, text).account == "alice"
    # Later than any token of it lives, the old key goes; what it has signed is not believed any more.
    moment = time.time() + 3600
    monkeypatch.setattr("time.time", lambda: moment)
    await until(lambda: len(current.book.keys) == 1 and len(other.book.keys) == 1)
    with pytest.raises(BadToken):
        tokens.verify(current.book, old.text)
    for follower in (current, other):
        await follower.close()
    await store.close()
