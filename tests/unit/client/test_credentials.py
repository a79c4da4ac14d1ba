"""Names in registry, repository and tag; and what of it all the Python API asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten import errors
from corten.client import Client, credentials
from corten.client.results import Progress
from tests.unit.client.fake_server import FakeServer


@pytest.mark.parametrize(
    ("name", "domain", "repository", "tag"),
    [
        ("busybox", "docker.io", "busybox", ""),
        ("busybox:1", "docker.io", "busybox", "1"),
        ("team/app", "docker.io", "team/app", ""),
        ("localhost/app", "localhost", "localhost/app", ""),
        ("h:5000/app", "h:5000", "h:5000/app", ""),
        ("h:5000/a/b:1", "h:5000", "h:5000/a/b", "1"),
        ("quay.io/a:1@sha256:x", "quay.io", "quay.io/a", "sha256:x"),
        ("index.docker.io/a/b", "docker.io", "index.docker.io/a/b", ""),
        ("h:5000/a@sha256:x", "h:5000", "h:5000/a", "sha256:x"),
    ],
)
def test_names(name: str, domain: str, repository: str, tag: str) -> None:
    assert credentials.domain_of(name) == domain
    assert credentials.split(name) == (repository, tag)


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_python_api(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(short_tmp))
    pulled = b'{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"a"}\n'
    pulled += b'{"status":"Digest: sha256:d"}'
    pushed = b'{"status":"1: digest: sha256:e size: 7"}\n{"aux":{"Tag":"1","Digest":"sha256:e","Size":7}}'
    refused = b'{"status":"x"}\n{"error":"denied"}'
    login = json.dumps({"Status": "Login Succeeded", "IdentityToken": ""}).encode()
    hits = json.dumps([{"name": "app", "star_count": 3}]).encode()
    bodies = [pulled, pulled, pushed, refused, login, hits]
    server = FakeServer(short_tmp / "s", [[answer(body) for body in bodies]])
    seen: list[Progress] = []
    with Client(f"unix://{short_tmp}/s") as client:
        assert client.images.pull("h:1/app", tls_verify=False, report=seen.append) == "sha256:d"
        assert seen[0] == Progress(text="Downloading", id="a", current=1, total=2)
        assert client.images.pull("h:1/app", all_tags=True) == "sha256:d"
        assert client.images.push("h:1/app:1") == "sha256:e"
        with pytest.raises(errors.CortenError, match="denied"):
            client.images.push("h:1/app:1")
        client.images.login("me", "secret", "h:1")
        assert [hit.name for hit in client.images.search("app", filters={"stars": "2"})] == ["app"]
        assert client.images.logout("h:1") and not client.images.logout("h:1")
    server.close()
    targets = [request.split()[1].decode() for request in server.requests]
    assert targets == [
        "/images/create?fromImage=h%3A1%2Fapp&tag=latest&tlsVerify=0",
        "/images/create?fromImage=h%3A1%2Fapp",
        "/images/h:1/app/push?tag=1",
        "/images/h:1/app/push?tag=1",
        "/auth",
        "/images/search?term=app&limit=25&filters=%7B%22stars%22%3A%5B%222%22%5D%7D",
    ]
