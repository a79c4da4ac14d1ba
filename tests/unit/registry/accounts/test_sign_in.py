"""What a sign-in costs, and tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("argon2")

from corten.registry.accounts.book import Book
from corten.registry.accounts.passwords import hash_token
from corten.registry.accounts.records import Account, Kind, Known
from corten.registry.accounts.sign_in import SignIn


async def test_robots_need_no_slow_hash_whether_or_not_they_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(Known(1, (Account("robot$ci", Kind.ROBOT, hash_token("token")),), {}, ()))
    sign_in = SignIn(cast(Any, SimpleNamespace(book=book)), cast(Any, None))
    slow: list[str] = []

    async def verify(stored: str, password: str) -> bool:
        slow.append(password)
        return False

    monkeypatch.setattr(sign_in._passwords, "verify", verify)
    try:
        assert await sign_in.check("robot+ci", "token", "") is book.known("robot$ci")
        for name in ("robot$ci", "robot$absent", "robot+absent"):
            assert await sign_in.check(name, "wrong", "") is None
        assert slow == []
        assert await sign_in.check("absent", "wrong", "") is None
        assert slow == ["wrong"]
    finally:
        await sign_in.close()
