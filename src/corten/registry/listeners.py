"""What accepts connections, in plain or in TLS, and changes the certificate without losing one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

BACKLOG = 1024


class Listeners:
    """A worker's, on sockets that other workers listen on as well."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        sockets: Sequence[socket.socket],
        handshake_seconds: float,
    ) -> None:
        self._protocol = protocol
        self._sockets = sockets
        self._handshake_seconds = handshake_seconds
        self._servers: list[asyncio.Server] = []

    async def open(self, context: ssl.SSLContext | None) -> None:
        """Accepts, from now on with this context. Connections that are there, and handshakes under way, keep
        what they began with. OSError: then everything is as it was."""
        opened: list[asyncio.Server] = []
        try:
            for listener in self._sockets:
                opened.append(await self._serve(listener, context))
        except BaseException:
            _close(opened)
            raise
        before, self._servers = self._servers, opened
        _close(before)

    async def _serve(self, listener: socket.socket, context: ssl.SSLContext | None) -> asyncio.Server:
        # A descriptor of its own: closing it leaves the queue of connections to the others.
        own = _Listening(fileno=listener.dup().detach())
        # A backlog of 1 makes the loop accept one connection at a time: with several processes on one socket,
        # the one that has nothing to do takes the next.
        try:
            server = await asyncio.get_running_loop().create_server(
                self._protocol,
                sock=own,
                ssl=context,
                backlog=1,
                ssl_handshake_timeout=self._handshake_seconds if context is not None else None,
            )
        except BaseException:
            own.close()
            raise
        return server

    def close(self) -> None:
        """Accepts no more; what was accepted goes on."""
        _close(self._servers)
        self._servers = []


class _Listening(socket.socket):
    """Keeps the kernel's queue long, which is shared, and does not shrink for a moment."""

    def listen(self, backlog: int = BACKLOG, /) -> None:
        super().listen(max(backlog, BACKLOG))


def _close(servers: Sequence[asyncio.Server]) -> None:
    """Accepts no more. What has just been accepted becomes a connection in the loop's next round, of a server
    that has to be open then."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        loop.call_soon(server.close)
