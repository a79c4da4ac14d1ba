"""The asyncio transport: the same codec and the same interface as `transport`, with `await`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType

from corten.client import failure, http, jsontext
from corten.client.address import Address
from corten.client.transport import READ_SIZE, unreachable

Query = Mapping[str, str | Iterable[str]]


class AsyncHijacked:
    """A connection that became a raw stream (attach, exec)."""

    def __init__(self, connection: socket.socket, data: bytes) -> None:
        self.socket = connection
        self._data = data

    async def receive(self) -> bytes:
        """What comes next; nothing at the end."""
        data, self._data = self._data, b""
        if data:
            return data
        try:
            return await asyncio.get_running_loop().sock_recv(self.socket, READ_SIZE)
        except ConnectionResetError:
            return b""

    async def send(self, data: bytes) -> None:
        """Sends to the container's stdin."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def close_input(self) -> None:
        """Half-closes: the container's stdin sees its end."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    async def communicate(self, data: bytes, timeout: float | None = None) -> AsyncIterator[bytes]:
        """Sends `data` and its end, and gives what comes meanwhile; TimeoutError after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        sender = asyncio.ensure_future(self._send_all(data))
        try:
            while True:
                left = None if deadline is None else max(deadline - loop.time(), 0.0)
                try:
                    piece = await asyncio.wait_for(self.receive(), left)
                except TimeoutError:
                    raise TimeoutError(f"the command did not end within {timeout} seconds") from None
                if not piece:
                    return
                yield piece
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_all(self, data: bytes) -> None:
        try:
            await self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended without reading everything
        self.close_input()

    async def aclose(self) -> None:
        self.socket.close()


class AsyncResponse:
    """An answer: status, headers, and the body, read at once or in pieces."""

    def __init__(
        self,
        transport: AsyncTransport,
        connection: socket.socket,
        decoder: http.ResponseDecoder,
        head: http.Head,
        events: list[http.Event],
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._transport = transport
        self._connection: socket.socket | None = connection
        self._decoder = decoder
        self._events = events
        self._take_end()

    def _take_end(self) -> None:
        if self._events and isinstance(self._events[-1], http.End) and self._connection is not None:
            self._transport._release(self._connection, self._events[-1].keep_alive)
            self._connection = None

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, as it comes."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, http.Data):
                    yield event.data
                elif isinstance(event, http.End):
                    return
            if self._connection is None:
                return
            try:
                data = await asyncio.get_running_loop().sock_recv(self._connection, READ_SIZE)
                self._events = self._decoder.feed(data) if data else self._decoder.eof()
            except BaseException:
                await self.aclose()
                raise
            self._take_end()

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([data async for data in self.stream()])

    async def json_stream(self) -> AsyncIterator[jsontext.Json]:
        """The body as a stream of JSON texts."""
        decoder = jsontext.LineDecoder()
        async for data in self.stream():
            for value in decoder.feed(data):
                yield value
        for value in decoder.finish():
            yield value

    def hijack(self) -> AsyncHijacked:
        """The raw stream of an upgraded connection; the caller closes it."""
        if self._connection is None:
            raise http.ProtocolError("the engine did not hand over the stream")
        data = b"".join(event.data for event in self._events if isinstance(event, http.Upgraded))
        connection, self._connection = self._connection, None
        return AsyncHijacked(connection, data)

    async def aclose(self) -> None:
        """Gives up the rest of the body."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def __aenter__(self) -> AsyncResponse:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncTransport:
    """Requests to one engine; any number of tasks may use it at once, each on a connection of its own."""

    def __init__(self, address: Address, *, start: Callable[[Address], None] | None = None) -> None:
        self.address = address
        self._start = start
        self._idle: list[socket.socket] = []

    async def aclose(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def aside(self, function: Callable[[str], str], argument: str) -> str:
        """Calls a function that may take its time, in a thread."""
        return await asyncio.to_thread(function, argument)

    def _release(self, connection: socket.socket, keep: bool) -> None:
        if keep:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect_once(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        if self.address.path:
            family, target = socket.AF_UNIX, self.address.path
        else:
            found = await loop.getaddrinfo(self.address.host, self.address.port, type=socket.SOCK_STREAM)
            family, target = found[0][0], found[0][4]  # type: ignore[assignment]
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, target)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self) -> socket.socket:
        try:
            return await self._connect_once()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if self._start is None or not self.address.managed:
                raise unreachable(self.address, error) from error
        except OSError as error:
            raise unreachable(self.address, error) from error
        await asyncio.to_thread(self._start, self.address)
        try:
            return await self._connect_once()
        except OSError as error:
            raise unreachable(self.address, error) from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: object = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
        check: bool = True,
    ) -> AsyncResponse:
        """Sends a request and returns the answer once its head is there; see `Transport.request`."""
        fields = dict(headers or {})
        if json is not None:
            body = jsontext.dumps(json)
            fields["Content-Type"] = "application/json"
        if upgrade:
            fields |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        whole = body if isinstance(body, bytes) else None
        pieces = None if body is None or isinstance(body, bytes) else body
        head = http.encode_request(
            method,
            http.target(path, query),
            host=self.address.authority,
            headers=fields,
            content_length=None if whole is None else len(whole),
            chunked=pieces is not None,
        )
        response = await self._exchange(method, head + (whole or b""), pieces, upgrade)
        if check and (response.status >= 400 or response.status == 304):
            raise failure.from_response(response.status, response.headers, await response.read())
        return response

    async def _exchange(
        self, method: str, message: bytes, pieces: AsyncIterable[bytes] | None, upgrade: bool
    ) -> AsyncResponse:
        loop = asyncio.get_running_loop()
        while self._idle and pieces is None:
            connection = self._idle.pop()
            try:
                await loop.sock_sendall(connection, message)
                first = await loop.sock_recv(connection, READ_SIZE)
            except (BrokenPipeError, ConnectionResetError):
                first = b""
            except BaseException:
                connection.close()
                raise
            if first:
                return await self._receive(method, connection, first, upgrade)
            connection.close()  # the engine had closed it while it was idle
        connection = await self._connect()
        try:
            await loop.sock_sendall(connection, message)
            if pieces is not None:
                async for piece in pieces:
                    await loop.sock_sendall(connection, http.encode_chunk(piece))
                await loop.sock_sendall(connection, http.LAST_CHUNK)
        except (BrokenPipeError, ConnectionResetError):
            pass  # an early answer (an error, mostly) is there to be read
        except BaseException:
            connection.close()
            raise
        return await self._receive(method, connection, b"", upgrade)

    async def _receive(
        self, method: str, connection: socket.socket, data: bytes, upgrade: bool
    ) -> AsyncResponse:
        loop = asyncio.get_running_loop()
        decoder = http.ResponseDecoder(method, upgrade)
        try:
            events = decoder.feed(data)
            while not events:
                data = await loop.sock_recv(connection, READ_SIZE)
                events = decoder.feed(data) if data else decoder.eof()
        except ConnectionResetError as error:
            connection.close()
            raise http.ProtocolError("the engine closed the connection before it answered") from error
        except BaseException:
            connection.close()
            raise
        head = events.pop(0)
        assert isinstance(head, http.Head)
        return AsyncResponse(self, connection, decoder, head, events)
