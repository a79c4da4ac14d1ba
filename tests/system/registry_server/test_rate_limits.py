"""Rate limits: by identity or address, by kind of request, over all workers; and who is behind a proxy."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import Answer, Client, ServerProcess, make_image

PROXY = {"trusted-proxies": ["127.0.0.0/8"]}


def ask(server: ServerProcess, method: str, target: str, **headers: str) -> Answer:
    """On a connection of its own, so that any worker may answer."""
    client = Client(server.url)
    try:
        return client.request(
            method,
            target,
            b"" if method != "GET" else None,
            {k.replace("_", "-"): v for k, v in headers.items()},
        )
    finally:
        client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(
        tmp_path, workers=2, limits={"rate": {"pulls": "5/hour", "pushes": "30/hour"}}, **PROXY
    ).start()
    client = server.client()
    client.push_image("app", "latest", make_image())
    yield server
    server.close()


def test_pulls(server: ServerProcess) -> None:
    path = "/v2/app/manifests/latest"
    answers = [ask(server, "GET", path) for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
    refused = answers[-1]
    assert refused.codes == ["TOOMANYREQUESTS"]
    assert 0 < int(refused.header("Retry-After")) <= 720
    assert ask(server, "HEAD", path).status == 200, "looking whether there is a newer one is free"
    assert ask(server, "GET", "/v2/app/tags/list").status == 200
    assert ask(server, "POST", "/v2/app/blobs/uploads/").status == 202, "pushes have a limit of their own"


def test_each_address_has_its_own(server: ServerProcess) -> None:
    path = "/v2/app/manifests/latest"
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
        statuses = [ask(server, "GET", path, X_Forwarded_For=address).status for _ in range(6)]
        assert statuses == [200] * 5 + [429], address
    assert ask(server, "GET", path, X_Forwarded_For="2001:db8::ffff").status == 429, "the same network"
    # What a client puts in front of what the proxy has added is its own invention.
    for invented in ("203.0.113.1", "203.0.113.2"):
        forged = f"{invented}, 192.0.2.1"
        assert ask(server, "GET", path, X_Forwarded_For=forged).status == 429


def test_forwarded_addresses_of_strangers_count_for_nothing(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1, limits={"rate": {"pulls": "2/hour"}}).start()
    try:
        client = server.client()
        client.push_image("app", "latest", make_image())
        statuses = [
            ask(server, "GET", "/v2/app/manifests/latest", X_Forwarded_For=f"192.0.2.{number}").status
            for number in range(4)
        ]
        assert statuses == [200, 200, 429, 429]
    finally:
        server.close()


def test_pushes(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=2, limits={"rate": {"pushes": "4/hour"}}).start()
    try:
        statuses = [ask(server, "POST", "/v2/app/blobs/uploads/").status for _ in range(6)]
        assert statuses == [202] * 4 + [429] * 2
    finally:
        server.close()


def test_an_upload_that_was_begun_is_not_broken_off(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1, limits={"rate": {"pushes": "1/hour"}}).start()
    try:
        client = server.client()
        assert client.push_blob("app", b"data")
        assert client.request("POST", "/v2/app/blobs/uploads/", b"").status == 429
    finally:
        server.close()


def test_sign_ins(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=2, limits={"rate": {"sign-ins": "3/hour"}}, **PROXY)
    subprocess.run(
        [sys.executable, "-m", "corten", "registry", "user", "add", "--root", str(server.settings["root"])]
        + ["--password-stdin", "--admin", "alice"],
        input=b"correct horse",
        check=True,
    )
    server.start()

    def sign_in(password: str, address: str) -> int:
        secret = base64.b64encode(f"alice:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "X_Forwarded_For": address}
        return ask(server, "GET", "/v2/", **headers).status

    try:
        assert [sign_in("correct horse", "192.0.2.1") for _ in range(5)] == [200] * 5
        assert [sign_in(f"guess {number}", "192.0.2.2") for number in range(5)] == [401] * 3 + [429] * 2
        assert sign_in("correct horse", "192.0.2.2") == 429
        assert sign_in("correct horse", "192.0.2.1") == 200
        assert ask(server, "GET", "/v2/", X_Forwarded_For="192.0.2.2").status == 401, "no sign-in"
    finally:
        server.close()


@pytest.mark.parametrize("rate", ["5", "5/week", "0/hour", "-1/hour", "many/hour"])
def test_mistakes(tmp_path: Path, rate: str) -> None:
    server = ServerProcess(tmp_path, limits={"rate": {"pulls": rate}})
    with pytest.raises(RuntimeError, match="invalid rate of pulls"):
        server.start()


def test_mistakes_in_proxies(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, **{"trusted-proxies": ["proxy.example"]})
    with pytest.raises(RuntimeError, match="invalid trusted proxy"):
        server.start()
