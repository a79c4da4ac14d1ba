"""The HTTP server: accepts, negotiates the API's version, dispatches, turns errors into answers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from corten.api.message import encode
from corten.api.system import API_VERSION, MIN_API_VERSION, ErrorMessage
from corten.daemon import routes
from corten.daemon.call import JSON_HEADERS, Call, Version, error_response
from corten.errors import CortenError, Denied, InvalidArgument, NotFound

if TYPE_CHECKING:
    from corten.daemon.stdio import StdioBroker
    from corten.engine.engine import Engine

log = logging.getLogger("corten.daemon")


def _version(text: str) -> Version:
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor or 0)
    except ValueError as error:
        raise InvalidArgument(f'invalid API version "{text}"') from error


_NEWEST = _version(API_VERSION)
_OLDEST = _version(MIN_API_VERSION)

#: The largest JSON body; uploads are streamed and have no limit here.
_MAX_BODY = 16 << 20


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


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Daemon:
    """Serves one engine; `shutdown` is called when a client asks the engine to end."""

    def __init__(self, engine: Engine, *, stdio: StdioBroker, shutdown: Callable[[], None]) -> None:
        self.engine = engine
        self.stdio = stdio
        self.shutdown = shutdown
        #: Requests being answered, and when the last one came or went (the loop's clock).
        self.active = 0
        self.last_activity = asyncio.get_running_loop().time()
        self._router = routes.ROUTER
        self._server = _Server(
            self._handle,
            request_factory=self._request,
            access_log=None,
            read_bufsize=1 << 20,
            auto_decompress=False,
            lingering_time=3.0,
            max_line_size=1 << 16,
            tcp_keepalive=False,
        )
        self._listeners: list[asyncio.Server] = []

    async def listen(self, listener: socket.socket) -> None:
        """Accepts connections on a listening socket (unix or TCP)."""
        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:
            server = await loop.create_unix_server(self._server, sock=listener, backlog=1024)
        else:
            server = await loop.create_server(self._server, sock=listener, backlog=1024)
        self._listeners.append(server)

    async def close(self) -> None:
        """Stops accepting, lets running operations end, ends streams."""
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()
        for connection in self._server.connections:
            task = getattr(connection, "streaming", None)
            if task is not None:
                task.cancel()
        await self._server.shutdown(timeout=10.0)

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._server._loop, client_max_size=_MAX_BODY
        )

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        self.active += 1
        self.last_activity = loop.time()
        try:
            if http.protocol.over_tcp:  # type: ignore[attr-defined]
                refuse_browsers(http)
            if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
                http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return await self._dispatch(http)
        except CortenError as error:
            return error_response(error)
        except web.HTTPRequestEntityTooLarge:
            return error_response(InvalidArgument(f"the request's body is larger than {_MAX_BODY} bytes"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            log.exception("%s %s failed", http.method, http.path)
            text = (
                f"internal error while answering {http.method} {http.path}: {type(error).__name__}: {error}"
            )
            return web.Response(body=encode(ErrorMessage(message=text)), status=500, headers=JSON_HEADERS)
        finally:
            self.active -= 1
            self.last_activity = loop.time()
            with suppress(AttributeError):
                http.protocol.streaming = None  # type: ignore[attr-defined]

    async def _dispatch(self, http: web.BaseRequest) -> web.StreamResponse:
        path, _, query = http._message.path.partition("?")
        if "%" in path:
            segments = [unquote(segment) for segment in path.split("/") if segment]
        else:
            segments = [segment for segment in path.split("/") if segment]
        version = _NEWEST
        if segments and segments[0][0] == "v" and segments[0][1:2].isdigit():
            version = negotiate(segments[0][1:])
            del segments[0]
        found = self._router.find(http.method, segments)
        if found is None:
            raise NotFound("page not found")
        handler, parameters = found
        return await handler(Call(http, self, version, parameters, query))


def refuse_browsers(http: web.BaseRequest) -> None:
    """Over TCP a web page that the user looks at could reach the API, as root: from another origin, or by a
    name that is made to resolve to the loopback address."""
    host = http.headers.get("Host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if "Origin" in http.headers or name not in ("localhost", "127.0.0.1", "[::1]", ""):
        raise Denied(
            "the API over TCP is for programs on this host that call it by localhost, not for web pages"
        )


def negotiate(text: str) -> Version:
    """The version of a path's prefix, when it is one that this daemon speaks."""
    version = _version(text)
    if version < _OLDEST:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > _NEWEST:
        raise InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is {API_VERSION}"
        )
    return version
