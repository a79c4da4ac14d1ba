"""stdio.sock: local clients hand over their stdin, stdout and stderr, so that no byte passes the engine; or
the one file that they would send otherwise.

A client connects, sends one message `token` (at most 128 bytes) with three descriptors, or one (SCM_RIGHTS),
keeps the connection open, and names the token in the header X-Corten-Stdio of a request. Descriptors that
nobody has asked for by the time the client goes away are closed.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from contextlib import suppress

from corten.engine.results import StdioFds
from corten.errors import InvalidArgument

_MAX_TOKEN = 128
#: The message may arrive after the request that names it: two sockets have no common order.
_PATIENCE = 5.0


class StdioBroker:
    """Keeps descriptors until the request that names their token comes."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, tuple[int, ...]] = {}
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._connections: dict[socket.socket, str] = {}
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    async def take(self, token: str) -> StdioFds:
        """The descriptors of `token`; they are the caller's to close from here on."""
        return StdioFds(*await self._take(token, 3))

    async def take_file(self, token: str) -> int:
        """The one descriptor of `token`; it is the caller's to close from here on."""
        return (await self._take(token, 1))[0]

    async def _take(self, token: str, count: int) -> tuple[int, ...]:
        if token not in self._waiting:
            arrived = self._wanted.setdefault(token, self._loop.create_future())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await asyncio.shield(arrived)
            except TimeoutError as error:
                raise InvalidArgument(
                    f'no descriptors came over stdio.sock for the token "{token}" of X-Corten-Stdio'
                ) from error
            finally:
                self._wanted.pop(token, None)
        fds = self._waiting.pop(token, None)
        if fds is None:
            raise InvalidArgument(f'the descriptors of the token "{token}" are taken already')
        if len(fds) != count:
            for fd in fds:
                os.close(fd)
            raise InvalidArgument(f'{len(fds)} descriptors came for the token "{token}" instead of {count}')
        return fds

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            self._forget(connection)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._connections[connection] = ""
        self._loop.add_reader(connection, self._readable, connection)

    def _readable(self, connection: socket.socket) -> None:
        try:
            data, fds = _receive(connection)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        token = data.strip().decode("ascii", "replace")
        if len(fds) not in (1, 3) or not token or self._connections[connection] or token in self._waiting:
            # The end of the client, or something that is no hand-over.
            for fd in fds:
                os.close(fd)
            self._forget(connection)
            return
        self._connections[connection] = token
        self._waiting[token] = tuple(fds)
        arrived = self._wanted.get(token)
        if arrived is not None and not arrived.done():
            arrived.set_result(None)

    def _forget(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection)
        connection.close()
        unused = self._waiting.pop(self._connections.pop(connection), None)
        if unused is not None:
            for fd in unused:
                with suppress(OSError):
                    os.close(fd)


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """One message with its descriptors (close-on-exec), whatever their number."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(
        _MAX_TOKEN, socket.CMSG_SPACE(8 * size), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % size])
    return data, list(fds)
