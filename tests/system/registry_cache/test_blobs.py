"""Blobs through the cache: fetched once, handed out while they come, verified, taken up again."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from tests.registry_server import Client, ServerProcess, digest_of, make_image
from tests.registry_stores import PostgresServer, S3Server, postgres_server, s3_server
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream, wait_until

LARGE = 3 << 20


def _pull(url: str, name: str, tag: str) -> list[bytes]:
    """As a client does that has nothing yet, blob by blob."""
    client = Client(url)
    try:
        manifest = client.get(f"/v2/{name}/manifests/{tag}")
        assert manifest.status == 200, manifest.body
        document = manifest.json()
        found = []
        for entry in (document["config"], *document["layers"]):
            answer = client.get(f"/v2/{name}/blobs/{entry['digest']}")
            assert answer.status == 200, answer.body
            found.append(answer.body)
        return found
    finally:
        client.close()


def test_twenty_clients_and_two_workers(start: Start, upstream: Upstream) -> None:
    """Upstream sees each blob once, and the manifest once."""
    cache = start(workers=2, upstreams={"up": {"url": upstream.url}})
    image = upstream.add("app", "1", make_image(layers=4, size=LARGE))
    # Slow enough that everybody is there before the first layer is.
    gate = threading.Event()
    upstream.fail(digest_of(image.layers[0]), cut_after=100_000, wait=gate)
    with ThreadPoolExecutor(20) as threads:
        pulls = [threads.submit(_pull, cache.url, "up/app", "1") for _ in range(20)]
        wait_until(lambda: upstream.count(digest_of(image.layers[0])))
        threading.Timer(0.5, gate.set).start()
        assert all(pull.result() == list(image.blobs) for pull in pulls)
    assert upstream.count("/manifests/") == 1
    for blob in image.blobs:
        assert upstream.count(digest_of(blob)) == 1
    assert cache.run("check", read_blobs=True).returncode == 0


class Begin(Protocol):
    def __call__(
        self, server: ServerProcess, path: str, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse: ...


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Asks, and leaves the body to the test."""
    opened: list[tuple[http.client.HTTPConnection, http.client.HTTPResponse]] = []

    def ask(
        server: ServerProcess, path: str, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(server.host, timeout=30)
        connection.request("GET", path, headers=headers or {})
        opened.append((connection, connection.getresponse()))
        return opened[-1][1]

    yield ask
    for connection, response in opened:
        response.close()
        connection.close()


def test_it_is_handed_out_while_it_comes(
    begin: Begin, upstream: Upstream, cache: ServerProcess, client: Client
) -> None:
    image = upstream.add("app", "1", make_image(size=LARGE))
    layer, path = image.layers[0], f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    client.get("/v2/up/app/manifests/1")
    gate = threading.Event()
    upstream.fail(digest_of(layer), cut_after=1_000_000, wait=gate)
    first = begin(cache, path)
    assert first.read(900_000) == layer[:900_000]
    # Another one reads along, from the middle.
    second = begin(cache, path, {"Range": "bytes=500000-"})
    assert (second.status, second.headers["Content-Range"]) == (206, f"bytes 500000-{LARGE - 1}/{LARGE}")
    assert second.read(400_000) == layer[500_000:900_000]
    gate.set()
    assert first.read() == layer[900_000:]
    assert second.read() == layer[900_000:]
    assert upstream.count(digest_of(layer)) == 1


def test_who_goes_away_does_not_end_it(
    begin: Begin, upstream: Upstream, cache: ServerProcess, client: Client
) -> None:
    image = upstream.add("app", "1", make_image(size=LARGE))
    layer, path = image.layers[0], f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    client.get("/v2/up/app/manifests/1")
    gate = threading.Event()
    upstream.fail(digest_of(layer), cut_after=1_000_000, wait=gate)
    first, second = begin(cache, path), begin(cache, path)
    assert first.read(1000) == second.read(1000) == layer[:1000]
    first.close()
    gate.set()
    assert second.read() == layer[1000:]
    assert client.get(path).body == layer
    assert upstream.count(digest_of(layer)) == 1


def test_it_is_taken_up_where_it_broke(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image(size=LARGE))
    layer = image.layers[0]
    client.get("/v2/up/app/manifests/1")
    upstream.fail(digest_of(layer), times=2, cut_after=1_000_000)
    assert client.get(f"/v2/up/app/blobs/{digest_of(layer)}").body == layer
    first, *ranges = [asked.range for asked in upstream.asked if digest_of(layer) in asked.path]
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges]
    assert (first, len(starts)) == ("", 2)
    assert 0 < starts[0] < starts[1] <= 2_000_000


def _broken_off(response: http.client.HTTPResponse) -> bytes:
    """What comes of a body before its connection breaks."""
    assert response.status == 200
    got = b""
    try:
        while piece := response.read1(1 << 16):
            got += piece
    except (http.client.IncompleteRead, ConnectionError):
        return got
    assert len(got) < int(response.headers["Content-Length"]), "the answer was completed"
    return got


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_digest_that_lies(
    begin: Begin, upstream: Upstream, cache: ServerProcess, client: Client, size: int
) -> None:
    """Nothing of it is stored, and nobody gets the whole."""
    image = upstream.add("app", "1", make_image(size=size))
    layer = image.layers[0]
    path = f"/v2/up/app/blobs/{digest_of(layer)}"
    client.get("/v2/up/app/manifests/1")
    fault = upstream.fail(digest_of(layer), body=layer[:-1] + b"!")
    if size == LARGE:
        assert len(_broken_off(begin(cache, path))) < size
    else:
        answer = client.get(path)
        assert (answer.status, answer.codes) == (502, ["UNAVAILABLE"])
    check = cache.run("check", read_blobs=True)
    assert (check.returncode, "0 blobs" in check.stdout) == (0, True), check.stdout
    assert not list(cache.directory.glob("registry/uploads/*"))
    upstream.faults.remove(fault)
    assert client.get(path).body == layer


def test_a_body_of_another_length(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image(size=5000))
    path = f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    client.get("/v2/up/app/manifests/1")
    for body in (image.layers[0] + b"more", image.layers[0][:-1]):
        fault = upstream.fail(digest_of(image.layers[0]), body=body)
        assert client.get(path).status == 502
        upstream.faults.remove(fault)
    assert client.get(path).status == 200


def test_upstream_lacks_it(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image(size=5000))
    digest = digest_of(image.layers[0])
    client.get("/v2/up/app/manifests/1")
    del upstream.blobs[digest]
    answer = client.get(f"/v2/up/app/blobs/{digest}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    upstream.stop()
    assert client.get(f"/v2/up/app/blobs/{digest}").status == 502


def test_a_blob_that_no_manifest_needs(upstream: Upstream, client: Client) -> None:
    """Nobody can have anything fetched that the registry knows nothing of."""
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.blobs[digest_of(b"other")] = b"other"
    for name in ("up/app", "up/else"):
        assert client.get(f"/v2/{name}/blobs/{digest_of(b'other')}").status == 404
        assert client.head(f"/v2/{name}/blobs/{digest_of(b'other')}").status == 404
    assert client.get(f"/v2/up/else/blobs/{digest_of(image.layers[0])}").status == 404
    assert upstream.count("/blobs/") == 0


def test_ranges_and_etags(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image(size=LARGE))
    layer, path = image.layers[0], f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    client.get("/v2/up/app/manifests/1")
    answer = client.get(path, Range="bytes=100-199")
    assert (answer.status, answer.body) == (206, layer[100:200])
    assert client.get(path, Range=f"bytes={LARGE}-").status == 416
    wait_until(lambda: client.get(path, If_None_Match=f'"{digest_of(layer)}"').status == 304)


def test_a_blob_that_another_repository_has(upstream: Upstream, client: Client) -> None:
    """Where the caller may pull from it, it is not fetched again."""
    image = make_image(size=LARGE)
    for name in ("one", "two"):
        upstream.add(name, "1", image)
        assert client.get(f"/v2/up/{name}/manifests/1").status == 200
        for blob in image.blobs:
            assert client.get(f"/v2/up/{name}/blobs/{digest_of(blob)}").body == blob
    assert upstream.count(digest_of(image.layers[0])) == 1


@pytest.mark.slow
def test_a_worker_that_dies_while_it_fetches(begin: Begin, start: Start, upstream: Upstream) -> None:
    """Another process begins anew; nothing is left of the first."""
    cache = start(upstreams={"up": {"url": upstream.url}}, collection={"interval-seconds": 0.2})
    image = upstream.add("app", "1", make_image(size=LARGE))
    layer, path = image.layers[0], f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    cache.client().get("/v2/up/app/manifests/1")
    gate = threading.Event()
    upstream.fail(digest_of(layer), times=1, cut_after=1_000_000, wait=gate)
    response = begin(cache, path)
    assert response.read(1000) == layer[:1000]
    cache.kill()
    gate.set()
    cache.start()
    assert cache.client().get(path).body == layer
    wait_until(lambda: not list(cache.directory.glob("registry/uploads/*")))


# -- who the registry is to an upstream


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "secret"
        path.write_text(text + "\n")
        return str(path)

    return write


@pytest.mark.parametrize("flow", ["basic", "bearer"])
def test_credentials(start: Start, upstream: Upstream, secret: Callable[[str], str], flow: str) -> None:
    upstream.basic = "robot:geheim"
    upstream.bearer = "a-token" if flow == "bearer" else ""
    image = upstream.add("app", "1", make_image())
    settings = {"url": upstream.url, "username": "robot", "password-file": secret("geheim")}
    client = start(upstreams={"up": settings}).client()
    assert _pull(client.url, "up/app", "1") == list(image.blobs)
    other = start(upstreams={"up": {**settings, "password-file": secret("falsch")}})
    assert other.client().get("/v2/up/app/manifests/1").status == 404
    assert "falsch" not in other.log.read_text()


def test_a_token_as_it_is(start: Start, upstream: Upstream, secret: Callable[[str], str]) -> None:
    upstream.bearer = "from-elsewhere"
    image = upstream.add("app", "1", make_image())
    cache = start(upstreams={"up": {"url": upstream.url, "token-file": secret("from-elsewhere")}})
    assert _pull(cache.url, "up/app", "1") == list(image.blobs)


def test_a_redirect_gets_no_credentials(
    start: Start, upstream: Upstream, secret: Callable[[str], str]
) -> None:
    elsewhere = Upstream()
    try:
        upstream.basic = "robot:geheim"
        image = upstream.add("app", "1", make_image())
        elsewhere.blobs = dict(upstream.blobs)
        upstream.redirect_blobs_to = elsewhere.url
        settings = {"url": upstream.url, "username": "robot", "password-file": secret("geheim")}
        cache = start(upstreams={"up": settings})
        assert _pull(cache.url, "up/app", "1") == list(image.blobs)
        assert elsewhere.count("/blobs/") == len(image.blobs)
        assert {asked.authorization for asked in elsewhere.asked} == {""}
    finally:
        elsewhere.stop()


def test_a_secret_that_is_missing(start: Start, upstream: Upstream, tmp_path: Path) -> None:
    settings = {"url": upstream.url, "username": "robot", "password-file": str(tmp_path / "absent")}
    with pytest.raises(RuntimeError, match=r"cannot read the upstream's secret in .*absent: No such file"):
        start(upstreams={"up": settings})


# -- stores


@pytest.fixture(scope="module")
def postgres() -> object:
    yield from postgres_server()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> object:
    pytest.importorskip("obstore")
    yield from s3_server(tmp_path_factory.mktemp("s3"))


def test_two_replicas_and_an_object_store(
    start: Start, upstream: Upstream, postgres: PostgresServer, s3: S3Server
) -> None:
    """Upstream sees each blob once."""
    shared = {
        "database": postgres.new_database(),
        "storage": s3.url(),
        "storage-options": s3.options,
        "redirect": False,
        "upstreams": {"up": {"url": upstream.url}},
    }
    replicas = [start(**{name.replace("-", "_"): value for name, value in shared.items()}) for _ in range(2)]
    image = upstream.add("app", "1", make_image(layers=2, size=LARGE))
    with ThreadPoolExecutor(8) as threads:
        pulls = [threads.submit(_pull, replicas[n % 2].url, "up/app", "1") for n in range(8)]
        assert all(pull.result() == list(image.blobs) for pull in pulls)
    for blob in image.blobs:
        assert upstream.count(digest_of(blob)) == 1


def test_an_upstream_that_says_nothing(start: Start, upstream: Upstream) -> None:
    """A check does not keep a client waiting for long."""
    client = start(upstreams={"up": {"url": upstream.url, "tag-ttl-seconds": 0}}).client()
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    gate = threading.Event()
    upstream.fail("/manifests/", wait=gate)
    try:
        answer = client.get("/v2/up/app/manifests/1")
        assert (answer.body, "did not answer within" in answer.header("Warning")) == (image.payload, True)
    finally:
        gate.set()


def test_a_client_that_takes_nothing(start: Start, upstream: Upstream) -> None:
    """It loses its connection; the blob comes nevertheless."""
    cache = start(upstreams={"up": {"url": upstream.url}}, limits={"idle-seconds": 1})
    image = upstream.add("app", "1", make_image(size=32 << 20))
    layer, path = image.layers[0], f"/v2/up/app/blobs/{digest_of(image.layers[0])}"
    client = cache.client()
    client.get("/v2/up/app/manifests/1")
    with socket.create_connection(("127.0.0.1", cache.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.get(path).body == layer
        lazy.settimeout(10)
        got = 0
        try:
            threading.Event().wait(2)
            while piece := lazy.recv(1 << 20):
                got += len(piece)
        except ConnectionError:
            pass
        assert got < len(layer)
