"""A request's body on its way into the blob store: hashed and written in a thread while the next piece
comes in.

What has come in by the time that a piece is written is the next piece: no buffer is allocated, none is
copied.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from corten.registry.blobs.store import Appender
from corten.registry.config import Limits
from corten.registry.direct import TOUCH_SECONDS, Interrupted, Pace, Pump, in_thread, take_socket
from corten.registry.errors import Code, RegistryError

if TYPE_CHECKING:
    from hashlib import _Hash

PIECE = 1 << 20
AHEAD = 4 << 20
"""What is received while a piece is being written, at most; then the client has to wait."""


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
        self._pace = Pace(limits)

    async def run(
        self, room: int, touch: Callable[[], Coroutine[None, None, None]], slots: asyncio.Semaphore
    ) -> None:
        """Appends the body; `room` is how much of it is allowed (-1: all), `touch` is called each
        minute, `slots` are threads that may receive.

        Interrupted when the body breaks off, RegistryError when it is too long; what the appender raises.
        """
        if 0 <= room < (self._request.content_length or 0):
            raise self._too_large()
        if not slots.locked() and (taken := take_socket(self._request)) is not None:
            async with slots:
                await self._run_directly(*taken, touch)
            return
        loop = asyncio.get_running_loop()
        touched = time.monotonic()
        pieces: list[bytes] = []
        held = 0
        writing: asyncio.Future[None] | None = None
        try:
            while data := await self._next():
                if 0 <= room < self.received + len(data):
                    raise self._too_large()
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

    async def _run_directly(
        self, before: bytes, connection: socket.socket, touch: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        length = self._request.content_length or 0
        pump = Pump(
            connection,
            length - len(before),
            self._appender,
            self._digest,
            self._pace,
            lambda: asyncio.run_coroutine_threadsafe(touch(), loop),
        )
        with connection:
            try:
                if before:
                    await in_thread(lambda: self._write([before]), pump, self._threads)
                    self.received = len(before)
                await in_thread(pump.run, pump, self._threads)
            finally:
                self.received += pump.received

    def _too_large(self) -> RegistryError:
        return RegistryError(
            Code.SIZE_INVALID,
            f"the blob is larger than {self._limits.blob_bytes} bytes, the most that is accepted",
            status=413,
        )

    def _write(self, pieces: list[bytes]) -> None:
        if self._digest is not None:
            for piece in pieces:
                self._digest.update(piece)
        self._appender.write(pieces)

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                data = await self._request.content.readany()
        except TimeoutError:
            raise self._pace.idle() from None
        except (ClientError, ConnectionError, HttpProcessingError, asyncio.IncompleteReadError) as error:
            raise Interrupted("the connection broke off") from error
        self._pace.check(self.received)
        return data


def new_hash(algorithm: str) -> _Hash:
    """A hash of one of the algorithms that digests name."""
    return hashlib.new(algorithm, usedforsecurity=True)
