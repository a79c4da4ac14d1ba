"""Connections: what HTTP itself is held to, before there is a request."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from corten.registry.config import Limits
from corten.registry.counters import Counters, Series
from corten.registry.errors import Code, RegistryError
from corten.registry.rate_limits import Addresses
from corten.registry.recorder import Recorder
from corten.registry.request import Request

_LOG = logging.getLogger("corten.registry")
READ_AHEAD = 1 << 20
LINE_BYTES = 16 << 10
"""The request's line, and each header: 100 tags in one push, and the longest tokens."""
HEADERS = 100


class Connection(web.RequestHandler):
    """One client's. It has to ask for something soon, and to take what it gets."""

    __slots__ = ("_counters", "_limits", "_recorder", "head_timer")

    def __init__(
        self, server: Server, limits: Limits, counters: Counters, recorder: Recorder, **settings: Any
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._limits = limits
        self._counters = counters
        self._recorder = recorder
        self.head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._counters.add("connections", 1)
        self.head_timer = asyncio.get_running_loop().call_later(self._limits.head_seconds, self.force_close)
        _limit_stall(transport.get_extra_info("socket"), self._limits.idle_seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._counters.add("connections", -1)
        self.has_asked()

    def has_asked(self) -> None:
        """The head of a request is there."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def log_access(self, request: Any, response: web.StreamResponse, _seconds: object) -> None:
        """aiohttp calls this when the answer has gone out, also for what was no HTTP."""
        self._recorder.record(request, response.status)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, in the shape that clients of a registry know."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        reason = (message or "it cannot be read").partition("\n")[0].rstrip(":")
        # Clients on this machine try TLS first, and then take plain HTTP: nothing to tell about.
        level = logging.DEBUG if "HTTPS" in reason else logging.INFO
        _LOG.log(level, "%s sent what is no HTTP request: %s", request.remote, ascii(reason[:200]))
        error = RegistryError(Code.UNSUPPORTED, f"this is no HTTP request: {reason[:200]}", status=400)
        response = web.Response(body=error.body(), status=400, content_type="application/json")
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's, with `Connection`s, and requests that know their client's address."""

    def __init__(
        self,
        handler: Any,
        limits: Limits,
        recorder: Recorder,
        counters: Counters,
        unknown: Series,
        addresses: Addresses,
    ) -> None:
        """`unknown` is where requests are counted that name nothing, or are no HTTP."""
        super().__init__(handler, request_factory=self._request)
        self._limits = limits
        self._recorder = recorder
        self._counters = counters
        self._unknown = unknown
        self._addresses = addresses
        self._has_proxies = addresses.has_proxies
        self._running = asyncio.get_running_loop()

    def __call__(self) -> Connection:
        return Connection(
            self,
            self._limits,
            self._counters,
            self._recorder,
            keepalive_timeout=self._limits.keepalive_seconds,
            read_bufsize=READ_AHEAD,
            auto_decompress=False,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            access_log=None,
        )

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: AbstractStreamWriter, task: Any
    ) -> web.BaseRequest:
        if protocol.head_timer is not None:
            protocol.has_asked()
        request = Request(message, payload, protocol, writer, task, self._running)
        if self._has_proxies and (address := self._addresses.of(request)) != request.remote:
            request = Request(message, payload, protocol, writer, task, self._running, remote=address)
        request.begun = time.monotonic()
        request.series = self._unknown
        return request


def _limit_stall(connection: socket.socket | None, seconds: float) -> None:
    """A client that takes nothing more for so long loses its connection (RFC 5482)."""
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
