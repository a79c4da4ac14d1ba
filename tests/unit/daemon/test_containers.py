"""/containers over an engine that records: what is asked is what was meant."""

from __future__ import annotations

import base64
import json
import socket
import time

import pytest

from corten.engine.results import Exit
from corten.errors import NotFound, StartError
from tests.unit.daemon.conftest import Served

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def read_all(sock: socket.socket, data: bytes = b"") -> bytes:
    while piece := sock.recv(4096):
        data += piece
    return data


def test_create(served: Served) -> None:
    answer = served.request("POST", "/v1.44/containers/create?name=web", b'{"Image": "x", "Cmd": ["a"]}')
    assert answer.status == 201
    assert json.loads(answer.body) == {"Id": "f" * 64, "Warnings": ["careful"]}
    _, (request,), kwargs = served.engine.containers.calls[-1]
    assert (request.image, request.cmd, kwargs) == ("x", ["a"], {"name": "web", "stdio": None})


@pytest.mark.parametrize(
    ("method", "path", "status", "call"),
    [
        ("POST", "/containers/x/start", 204, ("start", ("x",), {})),
        ("POST", "/containers/x/stop?t=3&signal=INT", 204, ("stop", ("x",), {"signal": "INT", "timeout": 3})),
        ("POST", "/containers/x/restart", 204, ("restart", ("x",), {"signal": None, "timeout": None})),
        ("POST", "/containers/x/kill?signal=HUP", 204, ("kill", ("x", "HUP"), {})),
        ("POST", "/containers/x/kill", 204, ("kill", ("x", "SIGKILL"), {})),
        ("POST", "/containers/x/pause", 204, ("pause", ("x",), {})),
        ("POST", "/containers/x/unpause", 204, ("unpause", ("x",), {})),
        ("POST", "/containers/x/rename?name=y", 204, ("rename", ("x", "y"), {})),
        ("POST", "/containers/x/resize?h=2&w=3", 200, ("resize", ("x",), {"height": 2, "width": 3})),
        (
            "DELETE",
            "/containers/x?force=1&v=true",
            204,
            ("remove", ("x",), {"force": True, "volumes": True, "link": False}),
        ),
    ],
)
def test_operations(served: Served, method: str, path: str, status: int, call: object) -> None:
    answer = served.request(method, path)
    assert (answer.status, answer.body) == (status, b"")
    assert served.engine.containers.calls == [call]


def test_wait_flushes_its_headers_before_the_end(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"POST /v1.44/containers/x/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 200 OK") and rest == b""
        exit_ = served.engine.containers.exit
        served.loop.call_soon_threadsafe(exit_.set_result, Exit(7, "oom"))
        data = sock.recv(4096)
        assert b'{"StatusCode":7,"Error":{"Message":"oom"}}' in data
    assert served.engine.containers.calls == [("wait", ("x", "next-exit"), {})]


def test_a_waiter_ends_with_its_client(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"POST /containers/x/wait HTTP/1.1\r\nHost: x\r\n\r\n")
        read_head(sock)
        assert served.daemon.active == 1
    deadline = time.monotonic() + 5
    while served.daemon.active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served.daemon.active == 0
    assert served.engine.containers.exit.cancelled()


@pytest.mark.parametrize(
    ("tty", "version", "headers", "status", "media"),
    [
        (False, "1.41", UPGRADE, b"101 UPGRADED", b"application/vnd.docker.raw-stream"),
        (False, "1.42", UPGRADE, b"101 UPGRADED", b"application/vnd.docker.multiplexed-stream"),
        (True, "1.51", UPGRADE, b"101 UPGRADED", b"application/vnd.docker.raw-stream"),
        (False, "1.51", "", b"200 OK", b"application/vnd.docker.raw-stream"),
    ],
)
def test_attach_hands_the_socket_over(
    served: Served, tty: bool, version: str, headers: str, status: bytes, media: bytes
) -> None:
    served.engine.containers.tty = tty
    with served.connect() as sock:
        path = f"/v{version}/containers/x/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a"
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{headers}\r\n".encode())
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 " + status)
        assert b"Content-Type: " + media in head
        sock.sendall(b"typed")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock, rest) == b"hello TYPED bye"
    _, _, kwargs = served.engine.containers.calls[-1]
    assert kwargs["stdin"] and kwargs["stdout"] and not kwargs["stderr"]
    assert kwargs["detach_keys"] == "ctrl-a" and kwargs["stream"] and not kwargs["logs"]


def test_attach_to_nothing_is_a_status(served: Served) -> None:
    served.engine.containers.answers["check_attach"] = NotFound("No such container: x")
    answer = served.request("POST", "/containers/x/attach?stream=1")
    assert answer.status == 404


def test_attach_that_fails_late_is_text(served: Served) -> None:
    served.engine.containers.answers["attach"] = StartError("it broke")
    with served.connect() as sock:
        sock.sendall(f"POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n".encode())
        _, rest = read_head(sock)
        assert read_all(sock, rest) == b"\2\0\0\0\0\0\0\x0ait broke\r\n"


def test_logs(served: Served) -> None:
    served.engine.containers.log = [b"one", b"two"]
    path = "/containers/x/logs?stdout=1&since=1.5&until=2&tail=3&timestamps=1&follow=0"
    for version, media in (("1.41", "raw"), ("1.42", "multiplexed")):
        answer = served.request("GET", f"/v{version}{path}")
        assert answer.body == b"onetwo"
        assert answer.headers["Content-Type"] == f"application/vnd.docker.{media}-stream"
    _, (_, query), _ = served.engine.containers.calls[-1]
    assert (query.since, query.until, query.tail) == (1_500_000_000, 2_000_000_000, 3)
    assert query.stdout and not query.stderr and query.timestamps and not query.follow


def test_archive(served: Served) -> None:
    answer = served.request("GET", "/containers/x/archive?path=%2Fetc%2Ff")
    assert answer.body == b"tar" and answer.headers["Content-Type"] == "application/x-tar"
    stat = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    assert stat == {"name": "f", "size": 3, "mode": 0o644, "mtime": "2024-01-01T00:00:00Z", "linkTarget": ""}
    body = bytes(3_000_000)
    assert served.request("PUT", "/containers/x/archive?path=/&copyUIDGID=1", body).status == 200
    assert served.engine.containers.calls[-1] == (
        "archive_put",
        ("x", "/", body),
        {"no_overwrite_dir_non_dir": False, "copy_uid_gid": True},
    )


def test_websocket_attach(served: Served) -> None:
    import aiohttp

    async def talk() -> bytes:
        connector = aiohttp.UnixConnector(str(served.path))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect("http://x/containers/x/attach/ws?stdin=1&stdout=1") as websocket,
        ):
            data = b""
            await websocket.send_bytes(b"typed")
            while not data.endswith(b"TYPED"):
                data += await websocket.receive_bytes(timeout=10)
            return data

    assert served.run(talk()) == b"hello TYPED"
