from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("argon2")

from corten.registry.accounts import passwords
from corten.registry.accounts.passwords import (
    PasswordCheck,
    hash_password,
    hash_token,
    is_token,
    should_be_renewed,
    verify,
)
from corten.registry.errors import RegistryError


def test_argon2() -> None:
    stored = hash_password("pässword")
    assert stored.startswith("$argon2id$") and hash_password("pässword") != stored
    assert verify(stored, "pässword") and not verify(stored, "password") and not verify(stored, "")
    assert not should_be_renewed(stored)
    weaker = stored.replace("t=2", "t=1")
    assert should_be_renewed(weaker) and not verify(weaker, "pässword")


def test_bcrypt() -> None:
    bcrypt = pytest.importorskip("bcrypt")
    for prefix in ("$2y$", "$2a$", "$2b$"):
        stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode().replace("$2b$", prefix)
        assert verify(stored, "x" * 72) and not verify(stored, "x" * 71)
        assert verify(stored, "x" * 100), "htpasswd takes the first 72 bytes"
        assert should_be_renewed(stored)
    assert not verify("$2y$04$short", "x")


@pytest.mark.parametrize(
    "stored", ["", "plain", "$argon2id$", "$argon2id$v=19$m=1$x", "$6$salt$hash", "{SHA}x"]
)
def test_hashes_that_are_none_let_nobody_in(stored: str) -> None:
    assert not verify(stored, "plain") and not verify(stored, stored) and not verify(stored, "")


def test_who_is_not_there_takes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash is computed, with the same parameters, whether or not there is such an account."""
    seen = []

    class Hasher:
        def verify(self, stored: str, password: bytes) -> bool:
            seen.append(stored)
            return True

    real = hash_password("x")
    monkeypatch.setattr(passwords, "_hasher", lambda: Hasher())
    assert not verify("", "x") and verify(real, "x")
    assert seen[0].split("$")[1:4] == real.split("$")[1:4]


def test_tokens() -> None:
    assert is_token(hash_token("a"), "a") and not is_token(hash_token("a"), "b") and not is_token("", "")


async def test_no_more_than_a_queue_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING", 3)
    check = PasswordCheck()
    stored = hash_password("right")
    found = await asyncio.gather(*(check.verify(stored, "right") for _ in range(5)), return_exceptions=True)
    assert found[:3] == [True] * 3
    assert [error.code.status for error in found[3:] if isinstance(error, RegistryError)] == [429, 429]
    assert await check.verify(stored, "right")
    check.close()
