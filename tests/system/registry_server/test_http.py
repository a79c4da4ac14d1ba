"""HTTP that no decent client speaks: slow heads, too much of everything, and requests that two servers would
read in two ways."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.registry_server import Client, ServerProcess, make_image


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(
        tmp_path_factory.mktemp("http"),
        workers=1,
        limits={"head-seconds": 1, "idle-seconds": 2, "keepalive-seconds": 3},
    ).start()
    server.client().push_image("app", "latest", make_image(seed="http"))
    yield server
    server.close()


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10)


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


SMUGGLED = b"GET /v2/app/manifests/latest HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0\r\nContent-Length: 49\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0, 49\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length\r\n: 0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n" + SMUGGLED,
        POST + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
        POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        POST + b"X: a\rContent-Length: 49\r\n\r\n" + SMUGGLED,
        POST.replace(b"HTTP/1.1", b"HTTP/1.9") + b"\r\n" + SMUGGLED,
        POST.replace(b"POST ", b"POST\t") + b"\r\n" + SMUGGLED,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda request: repr(request[len(POST) - 12 :][:40]),
)
def test_smuggling(server: ServerProcess, request_bytes: bytes) -> None:
    """What may be read in two ways is refused, and nothing behind it is read as a request."""
    with connect(server) as connection:
        connection.sendall(request_bytes)
        connection.settimeout(8)
        answer = everything(connection)
    assert statuses(answer) in ([400], []), answer[:300]
    assert b"schemaVersion" not in answer
    assert b"Traceback" not in answer


def test_no_http_is_answered_in_the_shape_of_the_specification(server: ServerProcess) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost x\r\n\r\n")
        answer = everything(connection)
    assert b'{"errors":[{"code":"UNSUPPORTED"' in answer
    assert b"Server: corten" in answer
    assert answer.startswith(b"HTTP/1.0 400 "), "which ends with its connection"
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"a" * 100_000 + b": x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["path", "value", "name", "count"],
)
def test_too_much(server: ServerProcess, head: bytes) -> None:
    with connect(server) as connection:
        try:
            connection.sendall(head)
            answer = everything(connection)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert not answer or answer.split(b" ")[1].startswith(b"4")


def test_a_head_without_end_is_not_held(server: ServerProcess) -> None:
    """Each line is allowed, all of them together are not: memory is not the client's to fill."""
    with connect(server) as connection, pytest.raises((ConnectionError, BrokenPipeError)):
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        for number in range(100_000):
            connection.sendall(b"X-%d: %b\r\n" % (number, b"a" * 1000))


@pytest.mark.parametrize("begin", [b"", b"G", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"])
def test_slow_heads(server: ServerProcess, begin: bytes) -> None:
    """A byte now and then keeps nobody's place."""
    begun = time.monotonic()
    with connect(server) as connection:
        connection.sendall(begin)
        connection.settimeout(0.2)
        while time.monotonic() - begun < 15:
            try:
                if begin:
                    connection.sendall(b"X")
                if connection.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("the connection is kept")
    assert server.client().get("/v2/").status == 200


def test_a_connection_that_has_asked_once_is_not_held_to_the_first_limit(server: ServerProcess) -> None:
    client = Client(server.url)
    assert client.get("/v2/").status == 200
    before = client._connection.sock
    time.sleep(1.6)
    assert client.get("/v2/").status == 200
    assert client._connection.sock is before
    client.close()


def test_many_slow_clients_keep_nobody_out(server: ServerProcess) -> None:
    slow = [connect(server) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        client = Client(server.url)
        for _ in range(20):
            assert client.get("/v2/app/manifests/latest").status == 200
        client.close()
    finally:
        for connection in slow:
            connection.close()


def test_pipelined_requests_are_answered_in_turn(server: ServerProcess) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert statuses(everything(connection)) == [200] * 51


def test_targets_in_absolute_form(server: ServerProcess) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET http://other.example/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert statuses(everything(connection)) == [200]
