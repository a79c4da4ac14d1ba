from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from corten.errors import Unavailable
from corten.registry import readiness
from corten.registry.audit import NoAudit
from corten.registry.readiness import Readiness


class Store:
    """Both database and blob store."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.slow = 0.0

    async def has_repository(self, repository: str) -> bool:
        self.asked += 1
        await asyncio.sleep(self.slow)
        if self.error is not None:
            raise self.error
        return False

    def check_writable(self) -> None:
        return


def make(store: Store) -> Readiness:
    return Readiness(cast(Any, store), cast(Any, store), NoAudit(), deadline=0.05)


def test_many_who_ask_cost_one_question() -> None:
    store = Store()

    async def ask() -> list[str]:
        ready = make(store)
        return list(await asyncio.gather(*(ready.reason() for _ in range(50)))) + [await ready.reason()]

    assert asyncio.run(ask()) == [""] * 51
    assert store.asked == 1


def test_reasons(monkeypatch: Any) -> None:
    monkeypatch.setattr(readiness, "CACHED_SECONDS", 0)
    store = Store()

    async def ask() -> None:
        ready = make(store)
        for error, words in (
            (Unavailable("the database does not answer"), "the database does not answer"),
            (FileNotFoundError(2, "No such file"), "storage"),
        ):
            store.error = error
            assert words in await ready.reason()
        store.error = None
        assert await ready.reason() == ""

    asyncio.run(ask())


def test_a_deadline(monkeypatch: Any) -> None:
    monkeypatch.setattr(readiness, "CACHED_SECONDS", 0)
    store = Store()
    store.slow = 1.0

    async def ask() -> None:
        ready = make(store)
        begun = time.monotonic()
        assert "did not answer" in await ready.reason()
        assert "did not answer" in await ready.reason()
        assert time.monotonic() - begun < 0.9
        assert store.asked == 1, "a question that hangs stays the only one"
        await asyncio.sleep(1.2)
        assert await ready.reason() == ""

    asyncio.run(ask())
