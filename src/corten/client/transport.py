"""The blocking transport: keep-alive connections to the engine over a unix socket or TCP.

Built on `_socket`, the C module below `socket`, whose import costs 7 ms that `corten run` cannot afford.
"""

from __future__ import annotations

import _socket
import os

from corten.client import http, jsontext
from corten.client.address import Address
from corten.errors import CortenError, Denied, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    Query = Mapping[str, str | Iterable[str]]
    Socket = _socket.socket

READ_SIZE = 1 << 18
_STALE = (BrokenPipeError, ConnectionResetError)


def connect(address: Address, timeout: float | None = None) -> Socket:
    """A connected socket; OSError as the kernel gives it."""
    if address.path:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        target: object = address.path
    else:
        family, _kind, _protocol, _name, target = _socket.getaddrinfo(
            address.host, address.port, 0, _socket.SOCK_STREAM
        )[0]
        connection = _socket.socket(family, _socket.SOCK_STREAM)
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    os.set_inheritable(connection.fileno(), False)
    try:
        connection.settimeout(timeout)
        connection.connect(target)  # type: ignore[arg-type]
    except OSError:
        connection.close()
        raise
    return connection


def unreachable(address: Address, error: OSError) -> CortenError:
    """The sentence for an engine that cannot be reached at `address`."""
    if isinstance(error, PermissionError):
        return Denied(
            f"no permission to use the engine's socket {address.path}: run this as the user who owns it,"
            " or unset CORTEN_RUN and CORTEN_HOST to use an engine of your own"
        )
    return Unavailable(
        f"cannot reach the engine at {address}: {error.strerror or error}; is it running there?"
        " ('corten engine serve' runs one)"
    )


class Hijacked:
    """A connection that became a raw stream (attach, exec). `data` is what of it came with the head."""

    def __init__(self, connection: Socket, data: bytes, multiplexed: bool) -> None:
        self.socket = connection
        self.data = data
        self.multiplexed = multiplexed

    def receive(self) -> bytes:
        """What comes next; nothing at the end."""
        data, self.data = self.data, b""
        if data:
            return data
        try:
            return self.socket.recv(READ_SIZE)
        except ConnectionResetError:
            return b""

    def send(self, data: bytes) -> None:
        """Sends to the container's stdin."""
        self.socket.sendall(data)

    def communicate(self, data: bytes, timeout: float | None = None) -> Iterator[bytes]:
        """Sends `data` and its end, and gives what comes meanwhile; TimeoutError after `timeout` seconds."""
        import select
        import time

        deadline = None if timeout is None else time.monotonic() + timeout
        if self.data:
            yield self.receive()
        view = memoryview(data)
        if not view:
            self.close_input()
        poller = select.poll()
        self.socket.settimeout(0.0)
        while True:
            poller.register(self.socket.fileno(), select.POLLIN | (select.POLLOUT if view else 0))
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000
            events = poller.poll(left)
            if not events:
                raise TimeoutError(f"the command did not end within {timeout} seconds")
            if view and events[0][1] & select.POLLOUT:
                view = self._send_some(view)
            if events[0][1] & ~select.POLLOUT:
                piece = self.receive()
                if not piece:
                    return
                yield piece

    def _send_some(self, view: memoryview) -> memoryview:
        try:
            view = view[self.socket.send(view) :]
        except (BrokenPipeError, ConnectionResetError):
            view = view[:0]  # it ended without reading everything
        except BlockingIOError:
            return view
        if not view:
            self.close_input()
        return view

    def close_input(self) -> None:
        """Half-closes: the container's stdin sees its end, output still comes."""
        try:
            self.socket.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the container is gone already

    def close(self) -> None:
        self.socket.close()


class Response:
    """An answer: status, headers, and the body, read at once or in pieces."""

    def __init__(
        self,
        transport: Transport,
        connection: Socket,
        decoder: http.ResponseDecoder,
        head: http.Head,
        events: list[http.Event],
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._transport = transport
        self._connection: Socket | None = connection
        self._decoder = decoder
        self._events = events
        self._take_end()

    def _take_end(self) -> None:
        """Gives the connection back as soon as the answer is complete, whether the body is read or not."""
        if self._events and isinstance(self._events[-1], http.End) and self._connection is not None:
            self._transport._release(self._connection, self._events[-1].keep_alive)
            self._connection = None

    def stream(self) -> Iterator[bytes]:
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
                data = self._connection.recv(READ_SIZE)
                self._events = self._decoder.feed(data) if data else self._decoder.eof()
            except BaseException:
                self.close()
                raise
            self._take_end()

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.stream())

    def json(self) -> jsontext.Json:
        """The body as JSON; None when it is empty."""
        body = self.read()
        return jsontext.loads(body) if body.strip() else None

    def json_stream(self) -> Iterator[jsontext.Json]:
        """The body as a stream of JSON texts."""
        decoder = jsontext.LineDecoder()
        for data in self.stream():
            yield from decoder.feed(data)
        yield from decoder.finish()

    def hijack(self) -> Hijacked:
        """The raw stream of an upgraded connection; the caller closes it."""
        if self._connection is None:
            raise http.ProtocolError("the engine did not hand over the stream")
        data = b"".join(event.data for event in self._events if isinstance(event, http.Upgraded))
        connection, self._connection = self._connection, None
        kind = self.headers.get("content-type", "")
        return Hijacked(connection, data, kind == "application/vnd.docker.multiplexed-stream")

    def ready(self, seconds: float) -> bool:
        """Whether `stream` has its next piece, or its end, within that time."""
        if self._events or self._connection is None:
            return True
        import select

        poller = select.poll()
        poller.register(self._connection.fileno(), select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def fileno(self) -> int:
        """The connection's file descriptor, to wait for in a poll set; -1 when the answer is complete."""
        return self._connection.fileno() if self._connection is not None else -1

    def close(self) -> None:
        """Gives up the rest of the body; the connection cannot be used again then."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Transport:
    """Requests to one engine. Idle connections are kept and used again; not for use by two threads at once.

    `start`: called when nothing listens at a managed address; it starts the engine or raises.
    """

    def __init__(
        self,
        address: Address,
        *,
        start: Callable[[Address], None] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.address = address
        self._start = start
        self._timeout = timeout
        self._idle: list[Socket] = []

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def ensure_running(self) -> bool:
        """Connects, which starts a managed engine; the connection is kept for the next request."""
        if not self._idle:
            self._idle.append(self._connect())
        return True

    def aside(self, function: Callable[[str], str], argument: str) -> str:
        """Calls a function that may take its time: here at once, in a thread by the asynchronous twin."""
        return function(argument)

    def _release(self, connection: Socket, keep: bool) -> None:
        if keep:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> Socket:
        try:
            return connect(self.address, self._timeout)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if self._start is None or not self.address.managed:
                raise unreachable(self.address, error) from error
        except OSError as error:
            raise unreachable(self.address, error) from error
        self._start(self.address)
        try:
            return connect(self.address, self._timeout)
        except OSError as error:
            raise unreachable(self.address, error) from error

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: object = None,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
        check: bool = True,
    ) -> Response:
        """Sends a request and returns the answer once its head is there.

        `json` is encoded as the body; `body` is bytes, or an iterable that is sent chunk by chunk.
        With `check`, an answer that tells an error raises it (`corten.errors`).
        """
        fields = dict(headers or {})
        if json is not None:
            body = jsontext.dumps(json)
            fields["Content-Type"] = "application/json"
        if upgrade:
            fields["Connection"] = "Upgrade"
            fields["Upgrade"] = "tcp"
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
        response = self._exchange(method, head + (whole or b""), pieces, upgrade)
        if check and (response.status >= 400 or response.status == 304):
            from corten.client import failure

            raise failure.from_response(response.status, response.headers, response.read())
        return response

    def _exchange(
        self, method: str, message: bytes, pieces: Iterable[bytes] | None, upgrade: bool
    ) -> Response:
        while self._idle:
            # A connection that the engine closed while it was idle shows only now: then, and only when no
            # byte of
            # an answer came, the request is sent again on another.
            connection = self._idle.pop()
            try:
                connection.sendall(message)
                first = b"" if pieces is not None else connection.recv(READ_SIZE)
            except _STALE:
                first = b""
            if pieces is not None:
                connection.close()
                break  # a streamed body cannot be sent twice: it gets a fresh connection
            if first:
                return self._receive(method, connection, first, upgrade)
            connection.close()
        connection = self._connect()
        try:
            connection.sendall(message)
            if pieces is not None:
                for piece in pieces:
                    connection.sendall(http.encode_chunk(piece))
                connection.sendall(http.LAST_CHUNK)
        except _STALE:
            pass  # an early answer (an error, mostly) is there to be read
        except BaseException:
            connection.close()
            raise
        return self._receive(method, connection, b"", upgrade)

    def _receive(self, method: str, connection: Socket, data: bytes, upgrade: bool) -> Response:
        decoder = http.ResponseDecoder(method, upgrade)
        events: list[http.Event] = decoder.feed(data) if data else []
        try:
            while not events:
                data = connection.recv(READ_SIZE)
                events = decoder.feed(data) if data else decoder.eof()
        except ConnectionResetError as error:
            connection.close()
            raise http.ProtocolError("the engine closed the connection before it answered") from error
        except BaseException:
            connection.close()
            raise
        head = events.pop(0)
        if not isinstance(head, http.Head):
            raise http.ProtocolError("the engine's answer has no head")
        return Response(self, connection, decoder, head, events)
