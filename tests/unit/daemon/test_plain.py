"""Connections: what is plain is answered without aiohttp's server, what is not is answered all the same."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from corten import errors
from tests.unit.daemon.conftest import Served

PING = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"


class _Answers:
    """Reads the answers of one connection, one after the other, and nothing beyond."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")

    def next(self, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
        file = self._file
        status = int(file.readline().split()[1])
        headers = http.client.parse_headers(file)
        body = b""
        if method == "HEAD" or status in (204, 304):
            return status, headers, body
        if headers["Transfer-Encoding"] == "chunked":
            while size := int(file.readline(), 16):
                body += file.read(size + 2)[:-2]
            file.readline()
        else:
            body = file.read(int(headers["Content-Length"]))
        return status, headers, body


def converse(served: Served, *parts: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """Sends `parts`, each by itself, and reads so many answers."""
    with served.connect() as sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(0.02 if len(parts) > 1 else 0)
        reader = _Answers(sock)
        return [(status, body) for status, _headers, body in (reader.next() for _ in range(answers))]


def is_plain(served: Served) -> bool:
    return served.daemon._full is None


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_plain_requests(served: Served) -> None:
    assert converse(served, PING) == [(200, b"OK")]
    assert converse(served, PING * 3, answers=3) == [(200, b"OK")] * 3
    create = post("/v1.44/containers/create", b'{"Image": "x"}')
    for parts in ((create,), (create[:-14], create[-14:]), (create[:-3], create[-3:])):
        [(status, body)] = converse(served, *parts)
        assert (status, json.loads(body)["Id"]) == (201, "f" * 64)
    assert converse(served, create + PING, answers=2)[1] == (200, b"OK")
    assert converse(served, create[:-1], create[-1:] + PING, answers=2)[1] == (200, b"OK")
    assert is_plain(served)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n", 200),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: \xe4\r\n\r\n", 200),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: 1\r\nx: 2\r\n\r\n", 200),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x\r\n\r\n", 200),
        (b"OPTIONS /_ping HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX : 1\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
    ids=range(15),
)
def test_what_is_not_plain_is_answered_too(served: Served, request_: bytes, status: int) -> None:
    [(found, _body)] = converse(served, request_)
    assert found == status
    assert not is_plain(served)
    assert converse(served, PING) == [(200, b"OK")]


def test_a_head_in_parts(served: Served) -> None:
    assert converse(served, PING[:20], PING[20:] + PING, answers=2) == [(200, b"OK")] * 2


def test_a_chunked_upload_after_plain_requests(served: Served) -> None:
    head = b"PUT /containers/x/archive?path=/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = converse(served, PING, head, b"3\r\ntar\r\n0\r\n\r\n" + PING, answers=3)
    assert [status for status, _body in found] == [200] * 3
    assert served.engine.containers.calls[-1][1] == ("x", "/a", b"tar")


def test_an_upload_that_tells_its_length(served: Served) -> None:
    """Larger than what is received ahead of the handler."""
    body = bytes(range(256)) * (20 << 10)
    head = f"PUT /containers/x/archive?path=/a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with served.connect() as sock:
        sock.sendall(head.encode() + body + PING)
        reader = _Answers(sock)
        assert reader.next()[0] == 200
        assert reader.next()[2] == b"OK"
    assert served.engine.containers.calls[-1][1] == ("x", "/a", body)
    assert is_plain(served)


def test_an_upload_that_nobody_reads(served: Served) -> None:
    """Its answer comes, and the next request's, though the client goes on sending first."""
    body = b"x" * (3 << 20)
    head = f"POST /containers/x/resize HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with served.connect() as sock:
        sock.sendall(head)
        reader = _Answers(sock)
        assert reader.next()[0] == 400
        sock.sendall(body + PING)
        assert reader.next()[2] == b"OK"
    with served.connect() as sock:
        sock.sendall(head)
        assert _Answers(sock).next()[0] == 400
        sock.settimeout(10)
        assert sock.recv(10) == b""  # it has sent nothing more


def test_a_client_that_goes_away_while_it_sends(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(post("/containers/create", b"{}")[:-1])
        until(lambda: served.daemon.active == 1)
    until(lambda: served.daemon.active == 0 and not served.daemon.connections)
    assert served.engine.containers.calls == []


def test_the_end_of_a_connection(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + PING)
        status, headers, body = _Answers(sock).next()
        assert (status, headers["Connection"], body) == (200, "close", b"OK")
        assert sock.recv(10) == b""
    assert is_plain(served)


def test_answers_without_a_body(served: Served) -> None:
    with served.connect() as sock:
        reader = _Answers(sock)
        sock.sendall(b"HEAD /version HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = reader.next("HEAD")
        assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 10
        sock.sendall(b"HEAD /containers/x/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = reader.next("HEAD")
        assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
        sock.sendall(post("/containers/x/start", b""))
        status, headers, body = reader.next()
        assert (status, headers["Content-Length"], body) == (204, None, b"")
        served.engine.containers.answers["start"] = errors.NotModified("runs already")
        sock.sendall(post("/containers/x/start", b""))
        status, headers, body = reader.next()
        assert (status, headers["Content-Length"]) == (304, None)
        sock.sendall(PING)
        assert reader.next()[2] == b"OK"
    assert is_plain(served)


def test_a_stream_that_fails_ends_too_early(served: Served) -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield b"begin"
        raise errors.Unavailable("the disk is gone")

    async def export(*_arguments: Any) -> AsyncIterator[bytes]:
        return fails()

    served.engine.containers.export = export
    with served.connect() as sock:
        sock.sendall(b"GET /containers/x/export HTTP/1.1\r\nHost: x\r\n\r\n")
        file = sock.makefile("rb")
        try:
            received = file.read()
        except ConnectionResetError:
            received = b""
    assert not received.endswith(b"0\r\n\r\n") and received.count(b"HTTP/1.1") <= 1
    assert is_plain(served)


def test_a_client_that_does_not_read_stops_the_stream(served: Served) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x" * (64 << 10)

    async def export(*_arguments: Any) -> AsyncIterator[bytes]:
        return endless()

    served.engine.containers.export = export
    with served.connect() as sock:
        sock.sendall(b"GET /containers/x/export HTTP/1.1\r\nHost: x\r\n\r\n")
        before = -1
        while given != before:
            before = given
            time.sleep(0.2)
        assert 0 < given < 100
        while given < 200:
            assert sock.recv(1 << 20)
    until(lambda: served.daemon.active == 0)


def test_the_daemon_ends(served: Served) -> None:
    """Those who wait for nothing are closed, streams end, a request under way gets its answer."""
    slow = served.run(_event())

    async def start(*_arguments: Any) -> None:
        await slow.wait()

    served.engine.containers.start = start
    with served.connect() as idle, served.connect() as stream, served.connect() as busy:
        idle.sendall(PING)
        assert _Answers(idle).next()[2] == b"OK"
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(1000).startswith(b"HTTP/1.1 200")
        busy.sendall(post("/containers/x/start", b""))
        until(lambda: served.daemon.active == 2)
        ending = asyncio.run_coroutine_threadsafe(served.daemon.close(), served.loop)
        assert idle.recv(10) == b""
        assert b"0\r\n\r\n" not in stream.recv(1000)
        served.loop.call_soon_threadsafe(slow.set)
        status, headers, _body = _Answers(busy).next()
        assert (status, headers["Connection"]) == (204, "close")
        ending.result(10)


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_a_client_that_has_gone_away_before_its_body_is_wanted(served: Served) -> None:
    reached, go = served.run(_event()), served.run(_event())

    async def put(_ref: str, _path: str, stream: AsyncIterator[bytes], **_options: Any) -> None:
        reached.set()
        await go.wait()
        async for _piece in stream:
            pass
        raise AssertionError("the body was not whole")

    served.engine.containers.archive_put = put
    with served.connect() as sock:
        sock.sendall(
            b"PUT /containers/x/archive?path=/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbegin"
        )
        until(reached.is_set)
    until(lambda: not served.daemon.connections)
    served.loop.call_soon_threadsafe(go.set)
    until(lambda: served.daemon.active == 0)
    assert is_plain(served)
