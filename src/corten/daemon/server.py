"""The HTTP server: accepts, negotiates the API's version, dispatches, turns errors into answers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from corten.api.message import encode
from corten.api.system import API_VERSION, MIN_API_VERSION, ErrorMessage
from corten.daemon import routes
from corten.daemon.call import Call, Version, error_response
from corten.daemon.message import JSON_HEADERS, Answer, Request, Response
from corten.daemon.plain import PlainConnection
from corten.errors import CortenError, Denied, InvalidArgument, NotFound

if TYPE_CHECKING:
    from corten.daemon.aiohttp_server import FullServer
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

_PATIENCE = 10.0
"""Seconds that requests have to come to their ends when the daemon does."""


class Daemon:
    """Serves one engine; `shutdown` is called when a client asks the engine to end."""

    def __init__(self, engine: Engine, *, stdio: StdioBroker, shutdown: Callable[[], None]) -> None:
        self.engine = engine
        self.stdio = stdio
        self.shutdown = shutdown
        #: Requests being answered, and when the last one came or went (the loop's clock).
        self.active = 0
        self.last_activity = asyncio.get_running_loop().time()
        #: Those whose requests were plain so far.
        self.connections: set[PlainConnection] = set()
        self._router = routes.ROUTER
        self._full: FullServer | None = None
        self._listeners: list[asyncio.Server] = []

    async def listen(self, listener: socket.socket) -> None:
        """Accepts connections on a listening socket (unix or TCP)."""
        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:
            server = await loop.create_unix_server(self._connection, sock=listener, backlog=1024)
        else:
            server = await loop.create_server(self._connection, sock=listener, backlog=1024)
        self._listeners.append(server)

    def _connection(self) -> PlainConnection:
        return PlainConnection(self)

    def full_server(self) -> FullServer:
        """What takes connections with requests that are not plain."""
        if self._full is None:
            from corten.daemon.aiohttp_server import FullServer

            self._full = FullServer(self)
        return self._full

    async def close(self) -> None:
        """Stops accepting, lets running operations end, ends streams."""
        for listener in self._listeners:
            listener.close()
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        for connection in list(self.connections):
            connection.end()
        if self._full is not None:
            self._full.pre_shutdown()
            self._full.end_streams()
            await self._full.shutdown(timeout=_PATIENCE)
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=_PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def answer(self, request: Request) -> Answer:
        """What to answer; raises when the client has gone away, and nothing else."""
        loop = asyncio.get_running_loop()
        self.active += 1
        self.last_activity = loop.time()
        try:
            if request.over_tcp:
                refuse_browsers(request)
            return await self._dispatch(request)
        except CortenError as error:
            return error_response(error)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            path = request.target.partition("?")[0]
            log.exception("%s %s failed", request.method, path)
            text = f"internal error while answering {request.method} {path}: {type(error).__name__}: {error}"
            return Response(500, encode(ErrorMessage(message=text)), JSON_HEADERS)
        finally:
            self.active -= 1
            self.last_activity = loop.time()

    async def _dispatch(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        if "%" in path:
            segments = [unquote(segment) for segment in path.split("/") if segment]
        else:
            segments = [segment for segment in path.split("/") if segment]
        version = _NEWEST
        if segments and segments[0][0] == "v" and segments[0][1:2].isdigit():
            version = negotiate(segments[0][1:])
            del segments[0]
        found = self._router.find(request.method, segments)
        if found is None:
            raise NotFound("page not found")
        handler, parameters = found
        return await handler(Call(request, self, version, parameters, query))


def refuse_browsers(request: Request) -> None:
    """Over TCP a web page that the user looks at could reach the API, as root: from another origin, or by a
    name that is made to resolve to the loopback address."""
    host = request.header("Host") or ""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if request.header("Origin") is not None or name not in ("localhost", "127.0.0.1", "[::1]", ""):
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
