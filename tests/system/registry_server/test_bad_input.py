"""What hostile and broken clients send: the right code, nothing stored, and the registry goes on."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import OCI_INDEX, Client, ServerProcess, digest_of, make_image

OCTETS = {"Content-Type": "application/octet-stream"}


def raw(server: ServerProcess, request: bytes, timeout: float = 10) -> bytes:
    """What comes back for bytes that no decent client sends, until the connection is closed or nothing
    comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout) as connection:
        connection.sendall(request)
        connection.settimeout(2)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except TimeoutError:
            pass
        return answer


def stored(server: ServerProcess) -> list[str]:
    """Every file of blobs and uploads."""
    root = Path(server.settings["root"])
    return [str(path) for top in ("blobs", "uploads") for path in (root / top).rglob("*") if path.is_file()]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[ServerProcess]:
    """A registry that has no patience."""
    server = ServerProcess(
        tmp_path,
        limits={"idle-seconds": 1, "bytes-per-second": 100, "keepalive-seconds": 2, "blob-bytes": 3 << 20},
        collection={"interval-seconds": 0.2, "grace-seconds": 0, "upload-hours": 0.0003},
    ).start()
    yield server
    server.close()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[ServerProcess]:
    """It waits for no client, but an upload that was begun may take its time: else it would now and then
    have expired before the client is told that it is too slow."""
    server = ServerProcess(tmp_path, limits={"idle-seconds": 1, "bytes-per-second": 100}).start()
    yield server
    server.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd",
        "/v2/a/blobs/../../../../etc/passwd",
        "/v2/a/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd",
        "/v2/%2e%2e/%2e%2e/blobs/sha256:" + "0" * 64,
        "/v2/a%00b/manifests/latest",
        "/v2/a/manifests/%00",
        "/v2/a/manifests/..",
        "/v2/a/blobs/uploads/..%2f..%2fregistry.db",
        "/v2/" + "a/" * 4000 + "manifests/x",
        "//v2/a/manifests/x",
    ],
)
def test_tricks_with_paths(server: ServerProcess, client: Client, path: str) -> None:
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"404", b"414")
    assert b"root:" not in answer and b"SQLite" not in answer
    assert client.get("/v2/").status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"
        b"\r\n\r\n0\r\n\r\n",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ],
    ids=["long header", "many headers", "no http", "tls", "two lengths", "negative", "both", "bad chunk"],
)
def test_requests_that_are_none(server: ServerProcess, client: Client, request_bytes: bytes) -> None:
    try:
        answer = raw(server, request_bytes)
    except ConnectionResetError:
        answer = b""
    assert not answer or answer.split(b" ")[1].startswith(b"4")
    assert client.get("/v2/").status == 200


def test_a_million_layers(server: ServerProcess, client: Client) -> None:
    image = make_image()
    for blob in image.blobs:
        client.push_blob("bombs", blob)
    layer = json.dumps(image.document["layers"][0]).encode()
    head = json.dumps({**image.document, "layers": []}).encode()[:-2]
    many = head + b",".join([layer] * (4_000_000 // len(layer))) + b"]}"
    assert client.push_manifest("bombs", "same", many).status in (201, 400)
    others = b",".join(
        b'{"mediaType":"a/b","digest":"sha256:%064x","size":1}' % number for number in range(30_000)
    )
    begun = time.monotonic()
    answer = client.push_manifest("bombs", "others", head + others + b"]}")
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])
    assert time.monotonic() - begun < 20
    assert client.get("/v2/bombs/manifests/others").status == 404


def test_an_index_of_itself_cannot_be(server: ServerProcess, client: Client) -> None:
    """Its digest would have to be in it; an index of what is not there is refused, whatever the digest."""
    payload = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{"mediaType": OCI_INDEX, "digest": digest_of(b"self"), "size": 4}],
        }
    ).encode()
    assert client.push_manifest("loop", "x", payload, OCI_INDEX).status == 404


def test_compressed_bodies_are_refused(server: ServerProcess, client: Client) -> None:
    """What is hashed has to be what was sent."""
    location = client.begin("coding")
    answer = client.request("PATCH", location, b"\x1f\x8b\x08\x00", {**OCTETS, "Content-Encoding": "gzip"})
    assert answer.status == 415
    assert client.get(location).header("Range") == "0-0"


def test_refused_uploads_leave_nothing(quick: ServerProcess) -> None:
    client = quick.client()
    for _ in range(3):
        client.finish(client.begin("none"), digest_of(b"lie"), os.urandom(200_000))
        client.delete(client.begin("none"))
        client.request("POST", f"/v2/none/blobs/uploads/?digest={digest_of(b'lie')}", b"x" * 100, OCTETS)
    assert stored(quick) == []


def test_blob_that_is_too_large(quick: ServerProcess) -> None:
    client = quick.client()
    data = b"x" * (4 << 20)
    for body in (data, iter([data])):
        location = client.begin("large")
        answer = client.request("PATCH", location, body, OCTETS)
        assert (answer.status, answer.codes) == (413, ["SIZE_INVALID"])
        client.close()
        assert client.get(location).status == 404
    assert stored(quick) == []


def test_upload_that_stops(impatient: ServerProcess) -> None:
    """The client is told, or loses its connection; what came can be gone on from."""
    client = impatient.client()
    location = client.begin("stops")
    path = location.removeprefix(impatient.url)
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", impatient.port), 10) as connection:
        connection.sendall(head + b"x" * 100)
        answer = connection.recv(65536)
        assert answer.split(b" ")[1] == b"408"


def test_upload_that_trickles(impatient: ServerProcess) -> None:
    client = impatient.client()
    path = client.begin("trickles").removeprefix(impatient.url)
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", impatient.port), 10) as connection:
        connection.sendall(head)
        connection.settimeout(0.3)
        for _ in range(30):
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("a byte now and then keeps the upload going")
        assert answer.split(b" ")[1] == b"408"


def test_request_that_never_ends(quick: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", quick.port), 20) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(100) == b""
    assert quick.client().get("/v2/").status == 200


def test_what_came_before_the_break_is_kept(server: ServerProcess, client: Client) -> None:
    location = client.begin("resume")
    path = location.removeprefix(server.url)
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(head + b"a" * 300_000)
        time.sleep(0.5)
    data = b"a" * 300_000 + b"b" * 10
    deadline = time.monotonic() + 10
    while (offset := int(client.get(location).header("Range").partition("-")[2]) + 1) == 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answer = client.request(
        "PATCH", location, data[offset:], {**OCTETS, "Content-Range": f"{offset}-{len(data) - 1}"}
    )
    assert answer.status == 202
    assert client.finish(answer.header("Location"), digest_of(data)).status == 201


def test_uploads_that_never_finish_expire(quick: ServerProcess) -> None:
    client = quick.client()
    location = client.begin("expires")
    client.request("PATCH", location, b"x" * 10_000, OCTETS)
    assert stored(quick)
    deadline = time.monotonic() + 20
    while client.get(location).status != 404 or stored(quick):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_clients_on_one_upload(server: ServerProcess, client: Client) -> None:
    """One of them is told that it is out of order; the bytes are not mixed."""
    location = client.begin("two")
    path = location.removeprefix(server.url)
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), 10) as slow:
        slow.sendall(head + b"a" * 50)
        time.sleep(0.3)
        answer = client.request("PATCH", location, b"b" * 100, OCTETS)
        assert answer.status == 416
        slow.sendall(b"a" * 50)
        assert slow.recv(1000).split(b" ")[1] == b"202"
    assert client.finish(location, digest_of(b"a" * 100)).status == 201


def test_expect_continue(server: ServerProcess, client: Client) -> None:
    """curl and others wait for leave to send; a request that is refused never sends its body."""
    path = client.begin("expects").removeprefix(server.url)
    data = b"c" * 100
    for target, status in ((path, b"201"), ("/v2/e/blobs/uploads/0", b"404")):
        head = f"PUT {target}?digest={digest_of(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        head += "Expect: 100-continue\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(head.encode())
            answer = connection.recv(1000)
            if status == b"201":
                assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
            if answer.startswith(b"HTTP/1.1 100"):
                connection.sendall(data)
                # The refusal may have come with it.
                answer = answer.partition(b"\r\n\r\n")[2] or connection.recv(1000)
            assert answer.split(b" ")[1] == status


def test_strangers_need_leave(tmp_path: Path) -> None:
    """Beyond loopback nobody serves without being told so."""
    server = ServerProcess(tmp_path)
    server.settings["listen"] = [f"0.0.0.0:{server.port}"]
    with pytest.raises(RuntimeError, match="--allow-anonymous"):
        server.start()
    server.settings["allow-anonymous"] = True
    server.start()
    assert server.client().get("/v2/").status == 200
    server.close()


def test_health(server: ServerProcess, client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}


def test_warnings(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, warnings={"old/*": 'go to "new"'}).start()
    client = server.client()
    for name, warned in (("old/app", True), ("new/app", False)):
        client.push_image(name, "latest", make_image())
        answer = client.get(f"/v2/{name}/manifests/latest")
        assert answer.header("Warning") == ('299 - "go to \\"new\\""' if warned else "")
    server.close()
