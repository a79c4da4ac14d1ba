"""A request's body on its way into the blob store: hashed and written in a thread while the next piece
comes in.

What has come in by the time that a piece is written is the next piece: no buffer is allocated, none is
copied.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from corten.registry.blobs.store import Appender
from corten.registry.config import Limits
from corten.registry.errors import Code, RegistryError

if TYPE_CHECKING:
    from hashlib import _Hash

PIECE = 1 << 20
AHEAD = 4 << 20
"""What is received while a piece is being written, at most; then the client has to wait."""
TOUCH_SECONDS = 60


class Interrupted(Exception):
    """The client has gone, or is too slow; what it has sent was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Receiver:
    """One body. After `run`, whatever way it ended, `received` bytes are with the appender."""

    def __init__(
        self,
        request: web.BaseRequest,
        appender: Appender,
        digest: _Hash | None,
        threads: Executor,
        limits: Limits,
    ) -> None:
        self.received = 0
        self._request = request
        self._appender = appender
        self._digest = digest
        self._threads = threads
        self._limits = limits
        self._begun = time.monotonic()

    async def run(self, room: int, touch: Callable[[], Awaitable[None]]) -> None:
        """Appends the body; `room` is how much of it is allowed (-1: all), `touch` is called each minute.

        Interrupted when the body breaks off, RegistryError when it is too long; what the appender raises.
        """
        loop = asyncio.get_running_loop()
        touched = self._begun
        pieces: list[bytes] = []
        held = 0
        writing: asyncio.Future[None] | None = None
        try:
            while data := await self._next():
                if 0 <= room < self.received + len(data):
                    raise RegistryError(
                        Code.SIZE_INVALID,
                        f"the blob is larger than {self._limits.blob_bytes} bytes, the most that is accepted",
                        status=413,
                    )
                self.received += len(data)
                pieces.append(data)
                held += len(data)
                if held < PIECE or (writing is not None and not writing.done() and held < AHEAD):
                    continue
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(self._threads, self._write, pieces)
                pieces, held = [], 0
                if time.monotonic() - touched > TOUCH_SECONDS:
                    touched = time.monotonic()
                    await touch()
        finally:
            # However the body ended, no thread may be writing when the appender is let go of.
            if writing is not None:
                await asyncio.wait([writing])
            if pieces and (writing is None or writing.exception() is None):
                writing = loop.run_in_executor(self._threads, self._write, pieces)
                await asyncio.wait([writing])
            if writing is not None:
                writing.result()

    def _write(self, pieces: list[bytes]) -> None:
        if self._digest is not None:
            for piece in pieces:
                self._digest.update(piece)
        self._appender.write(pieces)

    async def _next(self) -> bytes:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.idle_seconds):
                data = await self._request.content.readany()
        except TimeoutError:
            raise Interrupted(f"nothing was sent for {limits.idle_seconds:g} s") from None
        except (ClientError, ConnectionError, HttpProcessingError, asyncio.IncompleteReadError) as error:
            raise Interrupted("the connection broke off") from error
        elapsed = time.monotonic() - self._begun
        if elapsed > limits.idle_seconds and self.received < elapsed * limits.bytes_per_second:
            raise Interrupted(f"less than {limits.bytes_per_second} bytes were sent each second")
        return data


def new_hash(algorithm: str) -> _Hash:
    """A hash of one of the algorithms that digests name."""
    return hashlib.new(algorithm, usedforsecurity=True)
