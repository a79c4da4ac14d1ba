"""A large body straight from its socket, in a thread: received, hashed and written in pieces that stay
in the processor's cache. aiohttp's way copies each byte twice more, and wakes the event loop for each
256 KiB.

The parser of the connection does not see these bytes, so that the connection cannot carry another request.

This leans on what aiohttp does not promise: that what it has received and not handed on is read by
`read_nowait`, and that it reads nothing more while the transport is paused. With a version of aiohttp that
this was not tried with, bodies take its own way, which is slower.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from corten.registry.blobs.store import Appender
from corten.registry.config import Limits

if TYPE_CHECKING:
    from hashlib import _Hash

PIECE = 256 << 10
LEAST = 4 << 20
"""Bodies that are smaller are not worth a connection."""
USED_UP = "the connection has bytes that its parser has not seen"
"""The key in a request that tells that its connection has to be closed."""
TRIED = ((3, 9), (3, 14))
"""Versions of aiohttp whose connections were taken over in tests: from, to."""
AT_ONCE = 8
"""Each takes a thread until its client has sent everything; more clients than that are served by the event
loop."""
TOUCH_SECONDS = 60


class Interrupted(Exception):
    """The client has gone, or is too slow; what it has sent was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pace:
    """Whether a client sends fast enough."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._begun = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return self._limits.idle_seconds

    def idle(self) -> Interrupted:
        """Nothing came for too long."""
        return Interrupted(f"nothing was sent for {self._limits.idle_seconds:g} s")

    def check(self, received: int) -> None:
        """Interrupted when too little has come since the beginning."""
        elapsed = time.monotonic() - self._begun
        if elapsed > self._limits.idle_seconds and received < elapsed * self._limits.bytes_per_second:
            raise Interrupted(f"less than {self._limits.bytes_per_second} bytes were sent each second")


def is_tried(version: str) -> bool:
    """Whether sockets may be taken from this version of aiohttp.

    >>> is_tried("3.14.5"), is_tried("4.0.0a1"), is_tried("unknown")
    (True, False, False)
    """
    try:
        major, minor = (int(number) for number in version.split(".")[:2])
    except ValueError:
        return False
    return TRIED[0] <= (major, minor) <= TRIED[1]


_MAY_TAKE = is_tried(aiohttp.__version__)


def take_socket(request: web.BaseRequest) -> tuple[bytes, socket.socket] | None:
    """What has been received of the body already, and the connection's socket, which the event loop
    reads no more.

    None when the body has to be read from the request: it is small, chunked, or encrypted, or aiohttp is not
    one that is known.
    """
    if not _MAY_TAKE:
        return None
    transport = request.transport
    length = request.content_length
    if transport is None or length is None or length < LEAST or request.content.is_eof():
        return None
    if transport.get_extra_info("sslcontext") is not None:
        return None
    connection = transport.get_extra_info("socket")
    if connection is None:
        return None
    before = b""
    # What is read makes room, and the parser goes on with what it has held back for want of it.
    while piece := request.content.read_nowait():
        before += piece
    request.content.feed_eof()
    # Last, as all of the above lets the connection be read again; nothing is read before the loop runs.
    transport.pause_reading()
    request[USED_UP] = True
    return before, socket.socket(fileno=connection.dup().detach())


class Pump:
    """Moves `length` bytes from a socket to an appender. `run` blocks; `stop` ends it from another thread."""

    def __init__(
        self,
        connection: socket.socket,
        length: int,
        appender: Appender,
        digest: _Hash | None,
        pace: Pace,
        touch: Callable[[], object],
    ) -> None:
        self.received = 0
        self._connection = connection
        self._length = length
        self._appender = appender
        self._digest = digest
        self._pace = pace
        self._touch = touch

    def run(self) -> None:
        """Interrupted when the body breaks off; what the appender raises."""
        buffer = memoryview(bytearray(min(PIECE, self._length)))
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        touched = time.monotonic()
        filled = 0
        try:
            while self.received + filled < self._length:
                wanted = min(len(buffer), self._length - self.received)
                filled += self._receive(buffer[filled:wanted], poller)
                if filled == wanted:
                    self._write(buffer[:filled])
                    filled = 0
                    self._pace.check(self.received)
                    if time.monotonic() - touched > TOUCH_SECONDS:
                        touched = time.monotonic()
                        self._touch()
        finally:
            if filled:
                self._write(buffer[:filled])

    def _receive(self, room: memoryview, poller: select.poll) -> int:
        while True:
            try:
                count = self._connection.recv_into(room)
            except BlockingIOError:
                if not poller.poll(self._pace.idle_seconds * 1000):
                    raise self._pace.idle() from None
                self._pace.check(self.received)
                continue
            except OSError as error:
                raise Interrupted("the connection broke off") from error
            if not count:
                raise Interrupted("the connection broke off")
            return count

    def _write(self, piece: memoryview) -> None:
        if self._digest is not None:
            self._digest.update(piece)
        self._appender.write([piece])
        self.received += len(piece)

    def stop(self) -> None:
        """The connection receives no more."""
        try:
            self._connection.shutdown(socket.SHUT_RD)
        except OSError:
            pass


async def in_thread(work: Callable[[], None], pump: Pump, threads: Executor) -> None:
    """Runs what a pump does in a thread, to its end: also when the task that waits for it is cancelled."""
    future = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        pump.stop()
        await asyncio.wait([future])
        raise
