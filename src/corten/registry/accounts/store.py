"""The accounts' part of the database, from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from corten.registry.accounts.records import Known, RefreshToken, SigningKey
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database

R = TypeVar("R")


class AccountStore:
    """Every method is a transaction; Unavailable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(1, "accounts")

    async def generation(self) -> int:
        """Another number after each change."""
        return await self._run(self._database.read, accounts.generation)

    async def load(self) -> Known:
        """Everything that decides about requests."""
        return await self._run(self._database.read, accounts.load)

    async def rehash(self, name: str, before: str, after: str) -> None:
        """The same password in another form, unless it was changed meanwhile."""
        await self._run(self._database.write_lightly, accounts.rehash, name, before, after)

    async def rotate(self, new: SigningKey, age: int, keep: int) -> bool:
        """See `accounts.rotate`."""
        return await self._run(self._database.write, accounts.rotate, new, age, keep)

    async def add_refresh(self, token: RefreshToken) -> None:
        """A sign-in that lasts."""
        await self._run(self._database.write, accounts.add_refresh, token)

    async def find_refresh(self, hash_: str) -> RefreshToken | None:
        """A sign-in, by the hash of what the client has."""
        return await self._run(self._database.read, accounts.find_refresh, hash_)

    async def use_refresh(self, hash_: str) -> None:
        """Writes down that a sign-in was used now."""
        await self._run(self._database.write_lightly, accounts.use_refresh, hash_)

    async def expire_refresh(self, idle: int) -> None:
        """Ends the sign-ins that nobody has used for so long."""
        await self._run(self._database.write_lightly, accounts.expire_refresh, idle)

    async def close(self) -> None:
        """Ends the thread; the database stays open."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, way: Callable[..., R], *arguments: Any) -> R:
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._threads, way, *arguments)
        )
