"""A client's connection, and what is plain on it: requests that tell their length, with nothing to negotiate.

Nearly all that clients of the API send is, and they wait for it: these are read and answered here, by one
task for each. Everything else (chunked uploads, websockets, 100-continue, whatever is unusual or
wrong) takes its connection to aiohttp, which serves it from then on. Nothing is decided here that aiohttp
would decide otherwise: what looks doubtful is not plain.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from corten.daemon.message import MAX_BODY, PIECE, Response
from corten.errors import InvalidArgument

if TYPE_CHECKING:
    from corten.daemon.server import Daemon

_MAX_HEAD = 32 << 10
#: What a client may send before somebody wants it, until it is read no further.
_AHEAD = 1 << 20
#: Seconds that a client has to send the rest of a body after the answer to it.
_LINGERING = 3.0

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_TARGET = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CONNECTION = {"": False, "keep-alive": False, "close": True, "upgrade": False}
"""The values of the header Connection that are plain, and whether the connection ends with the request."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class PlainRequest:
    """A request whose head is there; of its body, as much as has come."""

    __slots__ = (
        "_arrived",
        "_body",
        "_connection",
        "_headers",
        "_size",
        "ends",
        "method",
        "missing",
        "target",
    )

    def __init__(
        self, connection: PlainConnection, method: str, target: str, headers: Mapping[str, str], ends: bool
    ) -> None:
        """`headers`: by their names in lower case. `ends`: the client wants nothing more of it afterwards.

        `missing`: bytes of the body that have not come yet.
        """
        self._connection = connection
        self._headers = headers
        self.method = method
        self.target = target
        self.ends = ends
        self._size = self.missing = int(headers.get("content-length", "0"))
        self._body = b""
        self._arrived: asyncio.Future[None] | None = None

    @property
    def over_tcp(self) -> bool:
        return self._connection.over_tcp

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._connection.transport

    def header(self, name: str) -> str | None:
        return self._headers.get(name.lower())

    async def read(self) -> bytes:
        if self._size > MAX_BODY:
            raise InvalidArgument(f"the request's body is larger than {MAX_BODY} bytes")
        while self.missing:
            await self._more()
        return self._body

    async def pieces(self) -> AsyncIterator[bytes]:
        while self._body or self.missing:
            if not self._body:
                await self._more()
            body, self._body = self._body, b""
            for start in range(0, len(body), PIECE):
                yield body[start : start + PIECE]

    def feed(self, data: bytes) -> bytes:
        """More of the body, and what follows it, which is returned."""
        piece, rest = data[: self.missing], data[self.missing :]
        self.missing -= len(piece)
        self._body = self._body + piece if self._body else piece
        if self._arrived is None and self.missing and len(self._body) > _AHEAD:
            self._connection.pause_reading()
        self.wake()
        return rest

    def skip(self, data: bytes) -> bytes:
        """As `feed`, of a body that nobody wants any more."""
        rest = data[self.missing :]
        self.missing -= len(data) - len(rest)
        return rest

    async def _more(self) -> None:
        """Waits for more of the body; ConnectionResetError when the client has gone away."""
        before = self.missing
        self._arrived = asyncio.get_running_loop().create_future()
        try:
            if self._connection.transport is not None:
                self._connection.resume_reading()
                await self._arrived
        finally:
            self._arrived = None
        if self.missing == before:
            raise ConnectionResetError("the client has gone away")

    def wake(self) -> None:
        """More has come, or the client has gone away."""
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def end_with_client(self) -> None:
        self._connection.streaming = True

    async def open_stream(self, headers: Mapping[str, str]) -> PlainStream:
        stream = PlainStream(self._connection, with_body=self.method != "HEAD")
        self._connection.write(_head(200, {**headers, "Transfer-Encoding": "chunked"}, ends=self.ends))
        self._connection.stream = stream
        return stream


class PlainStream:
    """An answer in chunks (RFC 9112, 7.1)."""

    __slots__ = ("_connection", "_with_body", "is_whole")

    def __init__(self, connection: PlainConnection, *, with_body: bool) -> None:
        self._connection = connection
        self._with_body = with_body
        self.is_whole = False

    async def write(self, data: bytes) -> None:
        if data and self._with_body:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._connection.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        if self._with_body:
            last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            self._connection.write(last + b"0\r\n\r\n")
        self.is_whole = True
        await self._connection.drain()


class PlainConnection(asyncio.Protocol):
    """A client's connection until something comes that is not plain.

    `streaming`: what is being answered ends when the client goes away.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.transport: asyncio.Transport | None = None
        self.over_tcp = False
        self.streaming = False
        self.stream: PlainStream | None = None
        self.task: asyncio.Task[None] | None = None
        self._daemon = daemon
        self._request: PlainRequest | None = None
        self._received = b""
        self._ends = False
        self._drained: asyncio.Future[None] | None = None

    # -- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.over_tcp = not isinstance(transport.get_extra_info("sockname"), (str, bytes))
        self._daemon.connections.add(self)

    def data_received(self, data: bytes) -> None:
        request = self._request
        if request is not None and request.missing:
            data = request.feed(data) if self.task is not None else request.skip(data)
            if not data:
                return
        self._received = self._received + data if self._received else data
        if self.task is None:
            self._begin()
        elif len(self._received) > _AHEAD:
            self.pause_reading()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._daemon.connections.discard(self)
        self.resume_writing()
        if self._request is not None:
            self._request.wake()
        if self.task is not None and self.streaming:
            self.task.cancel()

    # -- what the daemon does with it

    def write(self, data: bytes) -> None:
        """ConnectionResetError when the client has gone away."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the client has gone away")
        self.transport.write(data)

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was written."""
        if self._drained is not None:
            await asyncio.shield(self._drained)
        if self.transport is None:
            raise ConnectionResetError("the client has gone away")

    def end(self) -> None:
        """The daemon ends: at once what waits for nothing else but its client, the rest with its answer."""
        self._ends = True
        if self.task is None:
            if self.transport is not None:
                self.transport.close()
        elif self.streaming:
            self.task.cancel()

    # -- requests

    def pause_reading(self) -> None:
        """The client has to wait."""
        if self.transport is not None and self.transport.is_reading():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """As much may come as before."""
        if self.transport is not None and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def _begin(self) -> None:
        """Answer what has come, if it is plain; take it to aiohttp if it is not."""
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        request = self._parse(head) if separator and len(head) <= _MAX_HEAD else None
        if request is None:
            self._hand_over()
            return
        self._request = request
        self._received = request.feed(rest) if rest else b""
        self.task = asyncio.get_running_loop().create_task(self._answer(request))

    def _parse(self, head: bytes) -> PlainRequest | None:
        if not head.isascii():
            return None
        first, *lines = head.decode("ascii").split("\r\n")
        method, _, rest = first.partition(" ")
        target, _, version = rest.partition(" ")
        if version != "HTTP/1.1" or method not in _METHODS or not _TARGET.fullmatch(target):
            return None
        headers: dict[str, str] = {}
        for line in lines:
            name, separator, value = line.partition(":")
            key, value = name.lower(), value.strip(" \t")
            if not separator or key in headers or not _NAME.fullmatch(name) or not value.isprintable():
                return None
            headers[key] = value
        ends = _CONNECTION.get(headers.get("connection", "").lower())
        if (
            ends is None
            or "host" not in headers
            or "transfer-encoding" in headers
            or "expect" in headers
            or "content-encoding" in headers
            or headers.get("upgrade", "tcp").lower() != "tcp"
            or not _LENGTH.fullmatch(headers.get("content-length", "0"))
        ):
            return None
        return PlainRequest(self, method, target, headers, ends)

    def _hand_over(self) -> None:
        transport = self.transport
        if transport is None:
            return
        self._daemon.connections.discard(self)
        other = self._daemon.full_server()()
        received, self._received = self._received, b""
        transport.set_protocol(other)
        other.connection_made(transport)
        if self._drained is not None:  # earlier answers were not taken yet
            other.pause_writing()
        other.data_received(received)

    async def _answer(self, request: PlainRequest) -> None:
        try:
            answer = await self._daemon.answer(request)
            if isinstance(answer, Response) and self.stream is None:
                self.write(_whole(request, answer, ends=request.ends or self._ends))
        except ConnectionError:
            self._break_off()
        except BaseException:
            self._break_off()
            raise
        finally:
            self._answered(request)

    def _break_off(self) -> None:
        """The head of the answer has gone: a body that ends too early is what makes the client fail."""
        if self.transport is not None:
            self.transport.abort()

    def _answered(self, request: PlainRequest) -> None:
        stream, self.stream = self.stream, None
        self.task, self.streaming = None, False
        if self.transport is None or self.transport.is_closing():
            return
        if stream is not None and not stream.is_whole:
            self._break_off()
        elif request.ends or self._ends:
            self.transport.close()
        else:
            self.resume_reading()
            if request.missing:
                # To close now could take the answer from a client that is still sending.
                asyncio.get_running_loop().call_later(_LINGERING, self._lose_patience, request)
            elif self._received:
                self._begin()

    def _lose_patience(self, request: PlainRequest) -> None:
        if self._request is request and request.missing and self.transport is not None:
            self.transport.close()


def _head(status: int, headers: Mapping[str, str], *, ends: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(_date())
    if ends:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def _whole(request: PlainRequest, answer: Response, *, ends: bool) -> bytes:
    if answer.status in (204, 304):
        return _head(answer.status, answer.headers, ends=ends)
    head = _head(answer.status, {**answer.headers, "Content-Length": str(len(answer.body))}, ends=ends)
    return head if request.method == "HEAD" else head + answer.body


_dated: tuple[int, str] = (0, "")


def _date() -> str:
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, f"Date: {formatdate(now, usegmt=True)}")
    return _dated[1]
