"""The newest book: a worker looks every second whether the database has another one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from corten.errors import CortenError
from corten.registry.accounts.book import Book
from corten.registry.accounts.preparing import prepare
from corten.registry.accounts.settings import Tokens
from corten.registry.accounts.signing import new_key
from corten.registry.accounts.store import AccountStore

_LOG = logging.getLogger("corten.registry")
LOOK_SECONDS = 1.0
PUBLISHED_SECONDS = 60
"""So long before a new key signs, every replica has it."""
DAY = 86_400_000
EXPIRY_SECONDS = 3600.0


class Current:
    """Holds the book. `start` before anything is decided; it follows the database, and rotates the keys."""

    book: Book

    def __init__(self, store: AccountStore, settings: Tokens) -> None:
        self._store = store
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._expire_at = 0.0
        self._prepared = False

    async def start(self) -> None:
        """Reads the database; Unavailable, Unsupported."""
        self.book = Book(await self._store.load())
        await self._prepare()
        self._task = asyncio.create_task(self._follow())

    async def _prepare(self) -> None:
        if not self.book.is_empty and not self._prepared:
            await asyncio.to_thread(prepare)
            self._prepared = True

    async def close(self) -> None:
        """Follows no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
                failed = False
            except CortenError as error:
                if not failed:
                    _LOG.warning("accounts stay as they were: %s", error.message)
                failed = True
            except Exception:  # whatever it is: who follows no more would never see that somebody has to go
                if not failed:
                    _LOG.exception("accounts stay as they were")
                failed = True

    async def _look(self) -> None:
        if await self._store.generation() != self.book.generation:
            self.book = Book(await self._store.load())
        if self.book.is_empty:
            return
        await self._prepare()
        if self._rotation_is_due():
            await self._store.rotate(
                new_key(PUBLISHED_SECONDS), self._settings.key_days * DAY, self._keep_milliseconds()
            )
            self.book = Book(await self._store.load())
        if time.monotonic() > self._expire_at:
            self._expire_at = time.monotonic() + EXPIRY_SECONDS
            await self._store.expire_refresh(self._settings.refresh_days * DAY)

    def _keep_milliseconds(self) -> int:
        return (self._settings.lifetime_seconds + PUBLISHED_SECONDS) * 1000

    def _rotation_is_due(self) -> bool:
        now = time.time() * 1000
        active = sorted(key.active for key in self.book.keys.values())
        if not active or active[-1] < now - self._settings.key_days * DAY:
            return True
        return len(active) > 1 and active[1] < now - self._keep_milliseconds()
