"""HTTP/1.1 of a client, without I/O: requests become bytes, bytes become events (RFC 9112).

Sockets live in `transport` (blocking) and `async_transport` (asyncio); both drive this codec.
"""

from __future__ import annotations

from corten.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LAST_CHUNK = b"0\r\n\r\n"
# A head that grows past this is not HTTP: aiohttp and Go both stop at 8 KiB a line and 1 MiB in all.
MAX_HEAD = 1 << 20


class ProtocolError(Unavailable):
    """The other side does not speak HTTP as RFC 9112 has it, or stopped in the middle of an answer."""


class Head:
    """Event: the status line and the headers (names in lower case)."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers


class Data:
    """Event: a piece of the body, of any size, with the transfer coding removed."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class End:
    """Event: the message is complete. `keep_alive` tells whether the connection can carry another."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


class Upgraded:
    """Event: from here on the connection is a raw stream; `data` is what of it came along already."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


Event = Head | Data | End | Upgraded

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str, safe: str = "") -> str:
    """Percent-encodes `text` (RFC 3986, section 2.1); `urllib.parse` does the same and takes 8 ms to
    import."""
    allowed = _UNRESERVED.union(safe.encode())
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in text.encode())


def target(path: str, query: Mapping[str, str | Iterable[str]] | None = None) -> str:
    """The request target of `path` (already percent-encoded) with `query`."""
    if not query:
        return path
    pairs = []
    for name, value in query.items():
        for item in (value,) if isinstance(value, str) else value:
            pairs.append(f"{quote(name)}={quote(item)}")
    return f"{path}?{'&'.join(pairs)}"


def encode_request(
    method: str,
    request_target: str,
    *,
    host: str = "corten",
    headers: Mapping[str, str] | None = None,
    content_length: int | None = None,
    chunked: bool = False,
) -> bytes:
    """The head of a request. A body follows as is (`content_length`) or by `encode_chunk` and
    `LAST_CHUNK`."""
    lines = [f"{method} {request_target} HTTP/1.1", f"Host: {host}"]
    for name, value in (headers or {}).items():
        if "\n" in name or "\r" in name or "\n" in value or "\r" in value:
            raise ProtocolError(f"the header {name!r} holds a line break")
        lines.append(f"{name}: {value}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif content_length is not None:
        lines.append(f"Content-Length: {content_length}")
    elif method in ("POST", "PUT"):
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; nothing for no data, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class ResponseDecoder:
    """Takes the bytes of the answer to one request and returns its events; one decoder per request.

    `method` matters: the answer to HEAD has no body, whatever its headers say. `upgrade`: the request asked
    for
    a raw stream, which old engines begin after a 200 without a length.
    """

    __slots__ = ("_buffer", "_keep_alive", "_method", "_remaining", "_state", "_upgrade")

    def __init__(self, method: str, upgrade: bool = False) -> None:
        self._method = method
        self._upgrade = upgrade
        self._buffer = b""
        self._state = "head"
        self._remaining = 0
        self._keep_alive = True

    @property
    def started(self) -> bool:
        """Whether any byte of the answer has come."""
        return self._state != "head" or bool(self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with `data`."""
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def eof(self) -> list[Event]:
        """The events at the end of the stream: an end, for a body that lasts until then."""
        if self._state in ("until-eof", "done", "upgraded"):
            finished = self._state == "until-eof"
            self._state = "done"
            return [End(False)] if finished else []
        what = "before it answered" if not self.started else "in the middle of its answer"
        raise ProtocolError(f"the engine closed the connection {what}")

    def _step(self, events: list[Event]) -> bool:
        state = self._state
        if state == "head":
            return self._head(events)
        if state == "sized":
            return self._sized(events)
        if state == "chunk-size":
            return self._chunk_size(events)
        if state == "chunk-end":
            return self._chunk_end()
        if state == "trailer":
            return self._trailer(events)
        if state == "until-eof" and self._buffer:
            events.append(Data(self._take(len(self._buffer))))
        elif state == "upgraded" and self._buffer:
            events.append(Upgraded(self._take(len(self._buffer))))
        return False

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError("the engine sent a line without an end")
            return None
        return self._take(end + 1).rstrip(b"\r\n")

    def _finish(self, events: list[Event]) -> bool:
        self._state = "done"
        events.append(End(self._keep_alive and not self._buffer))
        return False

    def _head(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError("the engine sent a head without an end")
            return False
        first, *lines = self._take(end + 4)[:-4].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
            raise ProtocolError(f"the engine's answer is not HTTP: it begins with {first[:60]!r}")
        status = int(code)
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ProtocolError(f"the engine sent a header that is none: {line[:60]!r}")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if 100 <= status < 200 and status != 101:
            return True  # 100 Continue and 103 Early Hints: the answer proper follows
        events.append(Head(status, reason, headers))
        return self._choose_body(version, status, headers, events)

    def _choose_body(self, version: str, status: int, headers: dict[str, str], events: list[Event]) -> bool:
        """RFC 9112, section 6.3: how the end of the body is told."""
        connection = headers.get("connection", "").lower()
        self._keep_alive = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        unframed = "content-length" not in headers and "transfer-encoding" not in headers
        if status == 101 or (self._upgrade and status == 200 and unframed):
            self._state = "upgraded"
            events.append(Upgraded(self._take(len(self._buffer))))
            return False
        if self._method == "HEAD" or status in (204, 304):
            return self._finish(events)
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._state = "chunk-size"
            return True
        length = headers.get("content-length")
        if length is None:
            self._state = "until-eof"
            self._keep_alive = False
            return True
        if not length.isdigit():
            raise ProtocolError(f"the engine sent a Content-Length that is no number: {length!r}")
        self._remaining = int(length)
        self._state = "sized"
        return True

    def _sized(self, events: list[Event]) -> bool:
        if self._remaining and self._buffer:
            data = self._take(self._remaining)
            self._remaining -= len(data)
            events.append(Data(data))
        return False if self._remaining else self._finish(events)

    def _chunk_size(self, events: list[Event]) -> bool:
        """A chunk's data is passed on as it comes: a log line must not wait for the rest of a large chunk."""
        if self._remaining:
            if not self._buffer:
                return False
            data = self._take(self._remaining)
            self._remaining -= len(data)
            events.append(Data(data))
            if self._remaining:
                return False
            self._state = "chunk-end"
            return True
        line = self._line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        try:
            self._remaining = int(size, 16)
        except ValueError:
            raise ProtocolError(f"the engine sent a chunk without a size: {line[:60]!r}") from None
        if self._remaining < 0:
            raise ProtocolError(f"the engine sent a chunk of a negative size: {line[:60]!r}")
        if not self._remaining:
            self._state = "trailer"
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise ProtocolError("the engine sent a chunk longer than its size")
        self._state = "chunk-size"
        return True

    def _trailer(self, events: list[Event]) -> bool:
        line = self._line()
        if line is None:
            return False
        return True if line else self._finish(events)
