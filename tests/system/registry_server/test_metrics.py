"""Metrics, the access log and readiness, from outside and over several workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from tests.registry_server import Client, ServerProcess, digest_of, free_port, make_image
from tests.system.registry_server.test_audit import basic, workers

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Samples:
    client = Client(url)
    try:
        answer = client.get("/metrics")
        assert answer.status == 200, answer.body
        assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
        return {
            (sample.name.removeprefix("corten_registry_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }
    finally:
        client.close()


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def settled(server: ServerProcess, name: str, number: float, **labels: str) -> Samples:
    """Numbers count when an answer has gone out, which its client may know a moment before."""
    deadline = time.monotonic() + 10
    while value(samples := scrape(server.url), name, **labels) < number:
        assert time.monotonic() < deadline, (name, labels, value(samples, name, **labels), number)
        time.sleep(0.02)
    return samples


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, workers=3, metrics={"storage-seconds": 0, "repositories": True}).start()
    yield server
    server.close()


def test_every_worker_counts(server: ServerProcess) -> None:
    image = make_image(size=200_000)
    server.client().push_image("app", "latest", image)
    for _ in range(40):
        client = Client(server.url)
        assert client.get("/v2/app/manifests/latest").status == 200
        assert client.get("/v2/app/manifests/absent").status == 404
        client.close()
    labels = {"method": "GET", "resource": "manifest"}
    samples = settled(server, "requests_total", 40, **labels, status="200")
    assert value(samples, "requests_total", **labels, status="200") == 40
    assert value(samples, "requests_total", **labels, status="404") == 40
    assert value(samples, "request_duration_seconds_count", **labels) == 80
    assert value(samples, "request_duration_seconds_bucket", **labels, le="+Inf") == 80
    assert 0 < value(samples, "request_duration_seconds_sum", **labels) < 80
    assert value(samples, "received_bytes_total") >= 200_000
    assert value(samples, "blobs") == 2
    assert value(samples, "blob_bytes") == sum(map(len, image.blobs))
    assert value(samples, "manifests") == value(samples, "tags") == value(samples, "repositories") == 1
    assert value(samples, "repository_bytes", repository="app") == sum(map(len, image.blobs))
    assert value(samples, "uploads") == 0
    server.client().begin("app")
    assert value(scrape(server.url), "uploads") == 1


def test_bytes_that_were_really_sent(server: ServerProcess) -> None:
    """Also those that go from a file straight into the socket, and only those that did."""
    data = os.urandom(8 << 20)
    digest = server.client().push_blob("app", data)
    labels = {"method": "GET", "resource": "blob"}
    before = value(scrape(server.url), "sent_bytes_total")
    assert server.client().get(f"/v2/app/blobs/{digest}").body == data
    samples = settled(server, "requests_total", 1, **labels, status="200")
    assert 8 << 20 <= value(samples, "sent_bytes_total") - before < 9 << 20
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    before = value(samples, "sent_bytes_total")
    samples = settled(server, "requests_total", 1, **labels, status="499")
    assert value(samples, "sent_bytes_total") - before < 8 << 20


def test_a_killed_worker_takes_no_count_with_it(server: ServerProcess) -> None:
    labels = {"method": "GET", "resource": "base", "status": "200"}

    def ask(times: int) -> None:
        for _ in range(times):
            client = Client(server.url)
            assert client.get("/v2/").status == 200
            client.close()

    ask(30)
    settled(server, "requests_total", 30, **labels)
    old = workers(server)
    os.kill(old[0], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(now := workers(server)) < 3 or old[0] in now:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ask(30)
    assert value(settled(server, "requests_total", 60, **labels), "requests_total", **labels) == 60


def test_collected_and_errors(tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path, workers=2, collection={"interval-seconds": 0.2, "grace-seconds": 0}
    ).start()
    try:
        server.client().push_blob("app", b"x" * 1000)
        samples = settled(server, "collected_blobs_total", 1)
        assert value(samples, "collected_bytes_total") == 1000
        uploads = Path(server.settings["root"]) / "uploads"
        uploads.rename(tmp_path / "elsewhere")
        uploads.write_text("")
        answer = server.client().request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(b'y')}", b"y")
        assert answer.status >= 500
        samples = scrape(server.url)
        assert sum(value(samples, "errors_total", kind=kind) for kind in ("storage", "unexpected")) == 1
    finally:
        server.close()


def test_who_may_read_them(tmp_path: Path) -> None:
    """This machine, and administrators; what a proxy passes on has come from elsewhere."""
    server = ServerProcess(tmp_path, workers=1)
    for name, options in (("root", ["--admin"]), ("alice", ["--permission", "pull:**"])):
        subprocess.run(
            [sys.executable, "-m", "corten", "registry", "user", "add", *options, "--password-stdin"]
            + ["--root", str(server.settings["root"]), name],
            input=b"correct horse",
            check=True,
        )
    server.start()
    try:
        client = server.client()
        assert client.get("/metrics").status == 200
        proxied = {"X-Forwarded-For": "192.0.2.1"}
        assert client.request("GET", "/metrics", headers=proxied).status == 401
        for name, status in (("root", 200), ("alice", 403)):
            headers = {**proxied, **basic(name, "correct horse")}
            assert client.request("GET", "/metrics", headers=headers).status == status
    finally:
        server.close()


def test_strangers_see_none_where_everything_is_open(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1).start()
    try:
        answer = server.client().get("/metrics", X_Forwarded_For="192.0.2.1")
        assert (answer.status, answer.codes) == (403, ["DENIED"])
    finally:
        server.close()


def test_an_address_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    server = ServerProcess(tmp_path, workers=2, metrics={"listen": f"127.0.0.1:{port}"}).start()
    try:
        url = f"http://127.0.0.1:{port}"
        server.client().get("/v2/")
        assert value(scrape(url), "requests_total", method="GET", resource="base", status="200") >= 1
        client = Client(url)
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ok"}
        for method, path in (("GET", "/v2/"), ("GET", "/"), ("POST", "/metrics"), ("GET", "/v2/_catalog")):
            assert client.request(method, path).status == 404
        client.close()
        assert server.client().get("/metrics").status == 404
    finally:
        server.close()


def test_off(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1, metrics={"enabled": False}).start()
    try:
        assert server.client().get("/metrics").status == 404
    finally:
        server.close()


def lines(path: Path, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    while not path.exists() or len(found := path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, path.read_text() if path.exists() else "no file"
        time.sleep(0.02)
    return [json.loads(line) for line in found]


def test_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = ServerProcess(tmp_path, workers=2, access_log_file=str(log)).start()
    try:
        data = os.urandom(300_000)
        client = server.client()
        digest = client.push_blob("team/app", data)
        pushed = len(lines(log, 2))
        answer = client.get(f"/v2/team/app/blobs/{digest}", X_Request_Id="mine-1")
        assert answer.header("X-Request-Id") == "mine-1"
        secret = {"Authorization": "Bearer s3cret", "User-Agent": "te\xe9st"}
        client.request("GET", "/v2/?token=s3cret&n=5&access_token=s3cret", headers=secret)
        bad = client.request("GET", "/v2/", headers={"X-Request-Id": '1", "who": "root'})
        assert bad.header("X-Request-Id") not in ("", '1", "who": "root')
        client.get("/v2/team/app/manifests/a%0Ab")
        pulled, secretive, _bad, newline = lines(log, pushed + 4)[pushed:]
        assert pulled["request"] == "mine-1"
        assert (pulled["method"], pulled["status"], pulled["repository"]) == ("GET", 200, "team/app")
        assert 300_000 < pulled["bytes"] < 301_000
        assert pulled["remote"] == "127.0.0.1"
        assert 0 < pulled["seconds"] < 60
        assert secretive["path"] == "/v2/?token=...&n=5&access_token=..."
        assert newline["path"] == "/v2/team/app/manifests/a%0Ab"
        assert "s3cret" not in log.read_text() + server.log.read_text()
        put = next(line for line in lines(log, 2) if line["method"] == "PUT")
        assert put["received"] == 300_000
        # It may be renamed at any time.
        log.rename(tmp_path / "access.log.1")
        time.sleep(1.2)
        client.get("/v2/")
        assert lines(log, 1)[-1]["path"] == "/v2/"
    finally:
        server.close()


def test_access_log_on_standard_error(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1, access_log=True).start()
    try:
        server.client().get("/v2/absent/tags/list")
        deadline = time.monotonic() + 10
        while '"path":"/v2/absent/tags/list"' not in server.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        server.close()


def test_request_ids_of_failures(server: ServerProcess) -> None:
    """What a person can tell the operator."""
    ids = {server.client().get("/v2/absent/tags/list").header("X-Request-Id") for _ in range(5)}
    assert len(ids) == 5 and "" not in ids


def test_every_answer_has_the_headers(server: ServerProcess) -> None:
    client = server.client()
    digest = client.push_blob("app", os.urandom(200_000))
    for target in ("/v2/", f"/v2/app/blobs/{digest}", "/v2/absent/tags/list", "/healthz"):
        answer = client.get(target)
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Server") == "corten"
        assert answer.header("Docker-Distribution-Api-Version") == "registry/2.0"


def test_readiness(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1).start()
    try:
        client = server.client()
        assert client.get("/readyz").status == 200
        uploads = Path(server.settings["root"]) / "uploads"
        uploads.rename(tmp_path / "elsewhere")
        deadline = time.monotonic() + 10
        while (answer := client.get("/readyz")).status != 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answer.json()["status"] == "not ready"
        assert client.get("/healthz").status == 200, "the process itself is well"
        (tmp_path / "elsewhere").rename(uploads)
        while client.get("/readyz").status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        server.close()


def test_scrapes_at_once(server: ServerProcess) -> None:
    found: list[Samples] = []
    threads = [threading.Thread(target=lambda: found.append(scrape(server.url))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
