"""The whole of HTTP: what takes a connection's requests when one of them was not plain.

Made for the first such request: until then the engine does not load aiohttp's server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from corten.daemon.message import MAX_BODY, PIECE, Hijacked, Response
from corten.errors import InvalidArgument

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from corten.daemon.server import Daemon


class _Protocol(RequestHandler):
    """A connection. `streaming` is a task that must end when the client goes away."""

    streaming: asyncio.Task[Any] | None = None
    over_tcp = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.over_tcp = not isinstance(transport.get_extra_info("sockname"), (str, bytes))
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        streaming, self.streaming = self.streaming, None
        super().connection_lost(exc)
        if streaming is not None:
            streaming.cancel()


class FullRequest:
    """A request as aiohttp has it: `http`."""

    __slots__ = ("http",)

    def __init__(self, http: web.BaseRequest) -> None:
        self.http = http

    @property
    def method(self) -> str:
        return self.http.method

    @property
    def target(self) -> str:
        return self.http._message.path

    @property
    def over_tcp(self) -> bool:
        over_tcp: bool = self.http.protocol.over_tcp  # type: ignore[attr-defined]
        return over_tcp

    @property
    def transport(self) -> asyncio.Transport | None:
        return self.http.transport

    def header(self, name: str) -> str | None:
        return self.http.headers.get(name)

    async def read(self) -> bytes:
        try:
            return await self.http.read()
        except web.HTTPRequestEntityTooLarge:
            raise InvalidArgument(f"the request's body is larger than {MAX_BODY} bytes") from None

    def pieces(self) -> AsyncIterator[bytes]:
        return self.http.content.iter_chunked(PIECE)

    def end_with_client(self) -> None:
        self.http.protocol.streaming = asyncio.current_task()  # type: ignore[attr-defined]

    async def open_stream(self, headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=dict(headers))
        await response.prepare(self.http)
        return response


class _Taken(web.StreamResponse):
    """For a connection that is no longer aiohttp's."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.force_close()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class FullServer(web.Server):
    """Makes the protocol of a connection."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        super().__init__(
            self._handle,
            request_factory=self._request,
            access_log=None,
            read_bufsize=1 << 20,
            auto_decompress=False,
            lingering_time=3.0,
            max_line_size=1 << 16,
            tcp_keepalive=False,
        )

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def end_streams(self) -> None:
        """What goes on until its client goes away ends now."""
        for connection in self.connections:
            task = getattr(connection, "streaming", None)
            if task is not None:
                task.cancel()

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
                http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            answer = await self._daemon.answer(FullRequest(http))
        finally:
            with suppress(AttributeError):
                http.protocol.streaming = None  # type: ignore[attr-defined]
        if isinstance(answer, Response):
            body = answer.body if answer.status not in (204, 304) else None
            return web.Response(body=body, status=answer.status, headers=dict(answer.headers))
        if isinstance(answer, Hijacked):
            return _Taken()
        assert isinstance(answer, web.StreamResponse)
        return answer
