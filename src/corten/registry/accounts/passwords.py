"""Hashes of passwords: argon2id, and bcrypt as htpasswd files have it; of tokens: SHA-256.

A hash takes 19 MiB and two passes (OWASP's smallest choice for argon2id), in one of two threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from corten.registry.errors import Code, RegistryError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MAX_SECRET = 1024
"""Bytes of a password or token that is looked at at all."""
WAITING = 64
THREADS = 2
_BCRYPT = ("$2y$", "$2a$", "$2b$")
_BCRYPT_BYTES = 72


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@cache
def hash_nobody() -> str:
    """The hash of what nobody knows: for accounts that are not there, so that they take as long."""
    return hash_password(secrets.token_hex(32))


def hash_password(password: str) -> str:
    """An argon2id hash, in its usual form."""
    return _hasher().hash(password.encode())


def is_bcrypt(stored: str) -> bool:
    """Whether a hash is bcrypt's."""
    return stored.startswith(_BCRYPT)


def should_be_renewed(stored: str) -> bool:
    """Whether a hash is not what `hash_password` makes today."""
    return not stored.startswith("$argon2") or _hasher().check_needs_rehash(stored)


def hash_token(token: str) -> str:
    """The hash of a token of 256 random bits, which nobody can guess: it need not be slow."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(stored: str, token: str) -> bool:
    """Whether `stored` is the token's hash; in constant time."""
    return hmac.compare_digest(stored, hash_token(token))


def verify(stored: str, password: str) -> bool:
    """Whether `stored` ("": there is no such account) is the password's hash. Takes milliseconds of CPU."""
    if is_bcrypt(stored):
        import bcrypt

        try:
            # bcrypt looks at the first 72 bytes, and htpasswd drops the others without a word.
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored.encode())
        except ValueError:
            return False
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(stored or hash_nobody(), password.encode())
    except (VerificationError, InvalidHashError):
        return False
    return bool(stored)


class PasswordCheck:
    """`verify` in threads; no more than a queue of it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "passwords")
        self._waiting = 0

    async def verify(self, stored: str, password: str) -> bool:
        """See `verify`. TOOMANYREQUESTS when too many wait already."""
        if self._waiting >= WAITING:
            raise RegistryError(
                Code.TOOMANYREQUESTS, "too many sign-ins at once: try again", headers={"Retry-After": "1"}
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, verify, stored, password)
        finally:
            self._waiting -= 1

    async def renewed(self, password: str) -> str:
        """A new hash."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password)

    def close(self) -> None:
        """Takes no more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
