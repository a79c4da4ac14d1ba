"""A user name and a secret to an account; remembered for a while, so that a push hashes once.

What was wrong is remembered as well, until something about accounts changes: a client that goes on with an
old password is told so at once, and guesses nothing by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import secrets
import time
from collections import OrderedDict

import msgspec

from corten.errors import CortenError
from corten.registry.accounts.attempts import Attempts
from corten.registry.accounts.current import Current
from corten.registry.accounts.passwords import MAX_SECRET, PasswordCheck, is_token, should_be_renewed
from corten.registry.accounts.records import ROBOT_PREFIX, Account, Kind
from corten.registry.accounts.store import AccountStore
from corten.registry.errors import Code, RegistryError

_LOG = logging.getLogger("corten.registry")
REMEMBERED = 10_000
WRONG_REMEMBERED = 2_000
REMEMBERED_SECONDS = 300.0


class _Success(msgspec.Struct, frozen=True):
    name: str
    stored: str
    until: float


class SignIn:
    """Checks secrets. Successes are kept under an HMAC of name and secret, by a key of this process alone."""

    def __init__(self, current: Current, store: AccountStore) -> None:
        self._current = current
        self._store = store
        self._passwords = PasswordCheck()
        self._attempts = Attempts()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, _Success] = OrderedDict()
        self._wrong: OrderedDict[bytes, int] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[Account | None]] = {}
        self._renewing: set[asyncio.Task[None]] = set()

    async def check(self, name: str, secret: str, address: str) -> Account | None:
        """The account; None when name or secret are wrong, or the account is disabled or has expired.

        TOOMANYREQUESTS when too many were wrong before.
        """
        if not name or not secret or "\0" in secret:
            return None
        if len(name) > MAX_SECRET or len(secret.encode(errors="replace")) > MAX_SECRET:
            return None
        if name.startswith("robot+"):  # for shells, to which $ means something
            name = ROBOT_PREFIX + name[len("robot+") :]
        key = hmac.digest(self._key, msgspec.json.encode((name, secret)), hashlib.sha256)
        if (found := self._recall(key)) is not None:
            return found
        if self._wrong.get(key) == self._current.book.generation:
            return None
        if (other := self._under_way.get(key)) is not None:
            # The same again, from a client with several connections: one hash is enough.
            return await asyncio.shield(other)
        self._slow_down(name, address)
        future = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        work = asyncio.ensure_future(self._verify(name, secret, address, key))
        work.add_done_callback(lambda done: self._done(key, done, future))
        return await asyncio.shield(future)

    def _done(
        self, key: bytes, work: asyncio.Future[Account | None], future: asyncio.Future[Account | None]
    ) -> None:
        self._under_way.pop(key, None)
        if work.cancelled():
            future.cancel()
        elif (error := work.exception()) is not None:
            future.set_exception(error)
            future.exception()  # whoever waited may be gone
        else:
            future.set_result(work.result())

    def _recall(self, key: bytes) -> Account | None:
        success = self._remembered.get(key)
        if success is None:
            return None
        account = self._current.book.account(success.name)
        if account is None or account.secret != success.stored or success.until < time.monotonic():
            del self._remembered[key]
            return None
        return account

    def _slow_down(self, name: str, address: str) -> None:
        pause = self._attempts.begin(name, address)
        if pause > 0:
            seconds = math.ceil(pause)
            raise RegistryError(
                Code.TOOMANYREQUESTS,
                f"too many wrong passwords: the next one is looked at in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )

    async def _verify(self, name: str, secret: str, address: str, key: bytes) -> Account | None:
        generation = self._current.book.generation
        known = self._current.book.known(name)
        if name.startswith(ROBOT_PREFIX):
            # No user has such a name: a robot that is not there is refused as fast as one that is.
            right = is_token(known.secret if known is not None else "", secret)
        else:
            stored = known.secret if known is not None else ""
            right = await self._passwords.verify(stored, secret)
        # Changes of the last milliseconds count as well.
        account = self._current.book.account(name)
        if not right or account is None or known is None or account.secret != known.secret:
            self._wrong[key] = generation
            while len(self._wrong) > WRONG_REMEMBERED:
                self._wrong.popitem(last=False)
            return None
        self._attempts.succeeded(name, address)
        self._remembered[key] = _Success(name, account.secret, time.monotonic() + REMEMBERED_SECONDS)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        if account.kind is Kind.USER and should_be_renewed(account.secret):
            task = asyncio.create_task(self._renew(account, secret))
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)
        return account

    async def _renew(self, account: Account, secret: str) -> None:
        try:
            await self._store.rehash(account.name, account.secret, await self._passwords.renewed(secret))
        except CortenError as error:
            _LOG.warning("the hash of %s's password stays as it is: %s", account.name, error.message)

    async def close(self) -> None:
        """Ends the threads."""
        for task in list(self._renewing):
            await asyncio.wait([task])
        self._passwords.close()
