"""distribution-spec 1.1, "Pull": manifests, blobs, ranges, existence."""

from __future__ import annotations

import pytest

from tests.registry_server import OCI_MANIFEST, Client, digest_of, make_image

ABSENT = digest_of(b"nothing that was ever pushed")


def test_support_is_announced(client: Client) -> None:
    """end-1: GET /v2/ answers 200."""
    for path in ("/v2/", "/v2"):
        answer = client.get(path)
        assert answer.status in (200, 301), path
        if answer.status == 200:
            assert answer.header("Docker-Distribution-Api-Version") == "registry/2.0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest(client: Client, repository: str, method: str) -> None:
    """end-3: by tag and by digest; the bytes that were pushed, their type, length and digest."""
    image = make_image(layers=2)
    client.push_image(repository, "latest", image)
    for reference in ("latest", image.digest):
        answer = client.request(method, f"/v2/{repository}/manifests/{reference}")
        assert answer.status == 200
        assert answer.header("Content-Type") == OCI_MANIFEST
        assert answer.header("Content-Length") == str(len(image.payload))
        assert answer.header("Docker-Content-Digest") == image.digest
        assert answer.body == (image.payload if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest_that_is_not_there(client: Client, repository: str, method: str) -> None:
    client.push_image(repository, "latest", make_image())
    for reference in ("absent", ABSENT):
        answer = client.request(method, f"/v2/{repository}/manifests/{reference}")
        assert answer.status == 404
        if method == "GET":
            assert answer.codes == ["MANIFEST_UNKNOWN"]


def test_repository_that_is_not_there(client: Client, repository: str) -> None:
    assert client.get(f"/v2/{repository}/manifests/latest").status == 404
    assert client.get(f"/v2/{repository}/blobs/{ABSENT}").status == 404


def test_malformed_digest(client: Client, repository: str) -> None:
    client.push_image(repository, "latest", make_image())
    for path in ("manifests", "blobs"):
        answer = client.get(f"/v2/{repository}/{path}/sha256:baddigeststring")
        assert answer.status in (400, 404)


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000, 3 << 20])
def test_blob(client: Client, repository: str, size: int) -> None:
    """end-2: GET and HEAD; small blobs and those that are sent by the kernel."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    digest = client.push_blob(repository, data)
    answer = client.get(f"/v2/{repository}/blobs/{digest}")
    assert (answer.status, answer.body) == (200, data)
    assert answer.header("Docker-Content-Digest") == digest
    assert answer.header("Content-Length") == str(size)
    head = client.head(f"/v2/{repository}/blobs/{digest}")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(size))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_blob_that_is_not_there(client: Client, repository: str, method: str) -> None:
    client.push_blob(repository, b"another")
    answer = client.request(method, f"/v2/{repository}/blobs/{ABSENT}")
    assert answer.status == 404
    if method == "GET":
        assert answer.codes == ["BLOB_UNKNOWN"]


def test_blob_of_another_repository_is_not_there(client: Client, repository: str) -> None:
    digest = client.push_blob(repository, b"private to " + repository.encode())
    client.push_blob(f"{repository}/other", b"x")
    assert client.get(f"/v2/{repository}/other/blobs/{digest}").status == 404


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=500-1499", (500, 1500)),
        ("bytes=500-", (500, 2048)),
        ("bytes=-500", (1548, 2048)),
        ("bytes=-9999", (0, 2048)),
        ("bytes=2000-5000", (2000, 2048)),
        ("bytes=0-0", (0, 1)),
    ],
)
def test_range(client: Client, repository: str, header: str, span: tuple[int, int]) -> None:
    """RFC 9110, section 14: 206 with Content-Range."""
    data = bytes(n % 251 for n in range(2048))
    digest = client.push_blob(repository, data)
    answer = client.get(f"/v2/{repository}/blobs/{digest}", Range=header)
    start, end = span
    assert (answer.status, answer.body) == (206, data[start:end])
    assert answer.header("Content-Range") == f"bytes {start}-{end - 1}/2048"


@pytest.mark.parametrize("header", ["bytes=5000-10000", "bytes=2048-", "bytes=-0"])
def test_range_that_cannot_be_satisfied(client: Client, repository: str, header: str) -> None:
    """416, and the connection goes on."""
    data = b"y" * 2048
    digest = client.push_blob(repository, data)
    answer = client.get(f"/v2/{repository}/blobs/{digest}", Range=header)
    assert answer.status == 416
    assert answer.header("Content-Range") == "bytes */2048"
    assert client.get(f"/v2/{repository}/blobs/{digest}").body == data


@pytest.mark.parametrize("header", ["chapters=1-2", "bytes=a-b", "bytes", "bytes=1-2,5-9,", ""])
def test_range_that_makes_no_sense_is_ignored(client: Client, repository: str, header: str) -> None:
    digest = client.push_blob(repository, b"z" * 100)
    answer = client.get(f"/v2/{repository}/blobs/{digest}", Range=header)
    assert answer.status in (200, 206, 416)
    assert client.get("/v2/").status == 200


def test_what_has_not_changed_is_not_sent_again(client: Client, repository: str) -> None:
    """ "SHOULD support aggressive http caching": ETag and If-None-Match."""
    image = make_image()
    client.push_image(repository, "latest", image)
    for path in ("manifests/latest", f"blobs/{digest_of(image.config)}"):
        etag = client.get(f"/v2/{repository}/{path}").header("ETag")
        assert etag
        answer = client.get(f"/v2/{repository}/{path}", If_None_Match=etag)
        assert (answer.status, answer.body) == (304, b"")
