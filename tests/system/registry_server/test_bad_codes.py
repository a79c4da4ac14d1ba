"""What is refused, with which code of the specification; it is logged, and nothing of it is stored."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import (
    OCI_INDEX,
    OCI_MANIFEST,
    Answer,
    Client,
    ServerProcess,
    descriptor,
    digest_of,
    make_image,
)

IMAGE = make_image("base")
ABSENT = digest_of(b"absent")
MANIFESTS = "/v2/base/manifests"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A registry with one image in it."""
    server = ServerProcess(tmp_path_factory.mktemp("codes")).start()
    server.client().push_image("base", "latest", IMAGE)
    yield server
    server.close()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    """Everything is afterwards as it was before, and the log has a line more."""
    client = Client(server.url)
    before, logged = stored(server), server.log.stat().st_size
    yield client
    client.close()
    assert stored(server) == before
    assert server.log.stat().st_size > logged, "a refusal was not logged"


def stored(server: ServerProcess) -> tuple[object, ...]:
    root = Path(server.settings["root"])
    files = sorted(str(path) for top in ("blobs", "uploads") for path in (root / top).rglob("*"))
    with contextlib.closing(Client(server.url)) as client:
        names = client.get("/v2/_catalog").json()
        tags = client.get("/v2/base/tags/list").json()
    return files, names, tags


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, set(answer.codes)) == (status, {code}), answer.body
    for error in answer.json()["errors"]:
        assert error["message"] and "Traceback" not in error["message"]


@pytest.mark.parametrize(
    "name",
    [
        "Upper",
        "a_-b",
        "a..b",
        "-a",
        "a/",
        "a//b",
        "x" * 256,
        "a/../b",
        "ä",
        "a b",
        "a\\b",
        "a%00",
        "sha256:a",
    ],
)
@pytest.mark.parametrize("way", ["upload", "manifest"])
def test_names(client: Client, name: str, way: str) -> None:
    from urllib.parse import quote

    target = quote(name, safe="/%")
    if way == "upload":
        answer = client.request("POST", f"/v2/{target}/blobs/uploads/", b"")
    else:
        answer = client.push_manifest(target, "latest", IMAGE.payload)
    refused(answer, 400, "NAME_INVALID")


@pytest.mark.parametrize(
    "tag", ["-a", ".a", "x" * 129, "a%20b", "a%00b", "%C3%A4", "sha256%20", "a%2Fb", "a%0Ab"]
)
def test_tags(client: Client, tag: str) -> None:
    answer = client.push_manifest("base", tag, IMAGE.payload)
    if "%2F" in tag:
        assert answer.status in (400, 404, 405)
    else:
        refused(answer, 400, "TAG_INVALID")
    pushed = client.push_manifest("base", f"{IMAGE.digest}?tag={tag}", IMAGE.payload)
    refused(pushed, 400, "TAG_INVALID")


@pytest.mark.parametrize("tag", [IMAGE.digest, "sha256:short", "md5:" + "0" * 32])
def test_tags_that_are_digests(client: Client, tag: str) -> None:
    """A tag holds no colon: what looks like a digest is one, and has to be right."""
    pushed = client.push_manifest("base", f"{IMAGE.digest}?tag={tag}", IMAGE.payload)
    refused(pushed, 400, "TAG_INVALID")
    other = make_image("other, by a digest that is not its own").payload
    refused(client.push_manifest("base", tag, other), 400, "DIGEST_INVALID")


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:baddigeststring", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "0" * 32]
    + ["sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha512:" + "0" * 64, "../../etc/passwd", ABSENT],
)
def test_digests(client: Client, digest: str) -> None:
    location = client.begin("base")
    refused(client.finish(location, digest, b"data"), 400, "DIGEST_INVALID")
    assert client.delete(location).status == (404 if digest == ABSENT else 204)
    refused(
        client.request("POST", f"/v2/base/blobs/uploads/?digest={digest}", b"data"), 400, "DIGEST_INVALID"
    )


def nested(depth: int) -> bytes:
    return b'{"schemaVersion":2,"x":' + b"[" * depth + b"]" * depth + b"}"


def image_with(**changes: object) -> bytes:
    return json.dumps({**IMAGE.document, **changes}).encode()


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        (b"", 400, "MANIFEST_INVALID"),
        (b"{", 400, "MANIFEST_INVALID"),
        (b"[]", 400, "MANIFEST_INVALID"),
        (b"null", 400, "MANIFEST_INVALID"),
        (b"\xff\xfe{\x00}\x00", 400, "MANIFEST_INVALID"),
        (nested(100_000), 400, "MANIFEST_INVALID"),
        (nested(1_900_000), 400, "MANIFEST_INVALID"),
        (b'{"schemaVersion":' + b"9" * 100_000 + b"}", 400, "MANIFEST_INVALID"),
        (b'{"schemaVersion":1e999}', 400, "MANIFEST_INVALID"),
        (image_with(layers={"a": 1}), 400, "MANIFEST_INVALID"),
        (image_with(layers=None), 400, "MANIFEST_INVALID"),
        (image_with(config=None), 400, "MANIFEST_INVALID"),
        (image_with(schemaVersion=1), 400, "MANIFEST_INVALID"),
        (image_with(schemaVersion="2"), 400, "MANIFEST_INVALID"),
        (image_with(mediaType=OCI_INDEX), 400, "MANIFEST_INVALID"),
        (image_with(manifests=[]), 400, "MANIFEST_INVALID"),
        (image_with(config={**IMAGE.document["config"], "size": -1}), 400, "MANIFEST_INVALID"),
        (image_with(config={**IMAGE.document["config"], "size": 1 << 70}), 400, "MANIFEST_INVALID"),
        (image_with(config={**IMAGE.document["config"], "digest": "../../x"}), 400, "MANIFEST_INVALID"),
        (image_with(config={**IMAGE.document["config"], "size": 3}), 400, "SIZE_INVALID"),
        (image_with(subject={"digest": "x", "size": 1, "mediaType": "a/b"}), 400, "MANIFEST_INVALID"),
        (image_with(annotations={"a": 1}), 400, "MANIFEST_INVALID"),
        (image_with(layers=[descriptor(b"absent", "a/b")]), 404, "MANIFEST_BLOB_UNKNOWN"),
        (b" " * ((4 << 20) + 1), 413, "MANIFEST_INVALID"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else str(value),
)
def test_manifests(client: Client, payload: bytes, status: int, code: str) -> None:
    if code == "MANIFEST_BLOB_UNKNOWN":
        client.push_manifest("base", "-x", payload)  # such a refusal is logged; an absent blob is no event
    refused(client.push_manifest("base", "bad", payload), status, code)
    if status == 400 and code == "MANIFEST_INVALID":
        refused(client.push_manifest("base", digest_of(payload), payload), status, code)


@pytest.mark.parametrize("media_type", ["nonsense", "a/b" * 200, OCI_INDEX])
def test_media_types(client: Client, media_type: str) -> None:
    refused(client.push_manifest("base", "bad", IMAGE.payload, media_type), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "header",
    ["bytes=a-b", "0", "-5", "5-", "4-2", "0-99999999999999999999", "1-4", "0-3,5-6", "٠-٣"],
)
def test_content_ranges(client: Client, header: str) -> None:
    """416 with where to go on, and the upload is what it was."""
    location = client.begin("base")
    try:
        answer = client.request(
            "PATCH", location, b"data", {"Content-Range": header.encode().decode("latin-1")}
        )
        refused(answer, 416, "RANGE_INVALID")
        assert answer.header("Location") and answer.header("Range") == "0-0"
        found = client.get(location)
        assert (found.status, found.header("Range")) == (204, "0-0")
        finished = client.request(
            "PUT", f"{location}?digest={digest_of(b'data')}", b"data", {"Content-Range": "7-10"}
        )
        refused(finished, 416, "RANGE_INVALID")
    finally:
        assert client.delete(location).status == 204


def test_a_chunk_that_is_shorter_than_it_says(client: Client) -> None:
    location = client.begin("base")
    answer = client.request("PATCH", location, b"data", {"Content-Range": "0-9"})
    refused(answer, 400, "SIZE_INVALID")
    assert client.get(location).header("Range") == "0-0"
    assert client.delete(location).status == 204


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=100-200", "bytes=-0", "bytes=5-2"])
def test_ranges_that_cannot_be(client: Client, header: str) -> None:
    """416 with the size; the connection goes on."""
    path = f"/v2/base/blobs/{digest_of(IMAGE.layers[0])}"
    answer = client.get(path, Range=header)
    refused(answer, 416, "RANGE_INVALID")
    assert answer.header("Content-Range") == f"bytes */{len(IMAGE.layers[0])}"
    assert client.get(path, Range="bytes=0-1").body == IMAGE.layers[0][:2]


@pytest.mark.parametrize("header", ["bytes=b-a", "lines=1-2", "bytes=0-1,3-4", "", "bytes"])
def test_ranges_that_are_none(server: ServerProcess, header: str) -> None:
    """RFC 9110, 14.2: who does not understand a Range answers with everything."""
    with contextlib.closing(Client(server.url)) as client:
        answer = client.get(f"/v2/base/blobs/{digest_of(IMAGE.layers[0])}", Range=header)
        assert (answer.status, answer.body) == (200, IMAGE.layers[0])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/_catalog?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/_catalog?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/base/tags/list?n=1e3", 400, "PAGINATION_NUMBER_INVALID"),
        ("POST", f"{MANIFESTS}/latest", 405, "UNSUPPORTED"),
        ("PATCH", f"/v2/base/blobs/{ABSENT}", 405, "UNSUPPORTED"),
        ("PROPFIND", "/v2/", 405, "UNSUPPORTED"),
        ("POST", "/v2/base/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID"),
        ("GET", "/v2/base/referrers/nonsense", 400, "DIGEST_INVALID"),
        ("DELETE", f"{MANIFESTS}/sha256:nonsense", 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/base/blobs/sha256:nonsense", 400, "DIGEST_INVALID"),
    ],
)
def test_requests(client: Client, method: str, path: str, status: int, code: str) -> None:
    refused(client.request(method, path, b"" if method in ("POST", "PATCH") else None), status, code)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/base/blobs/sha256:baddigeststring", "BLOB_UNKNOWN"),
        (f"/v2/base/blobs/{ABSENT}", "BLOB_UNKNOWN"),
        (f"{MANIFESTS}/absent", "MANIFEST_UNKNOWN"),
        (f"{MANIFESTS}/sha256:baddigeststring", "MANIFEST_UNKNOWN"),
        ("/v2/absent/manifests/latest", "NAME_UNKNOWN"),
        ("/v2/absent/tags/list", "NAME_UNKNOWN"),
        ("/v2/base/blobs/uploads/nonsense", "BLOB_UPLOAD_UNKNOWN"),
    ],
)
def test_what_is_not_there(server: ServerProcess, path: str, code: str) -> None:
    with contextlib.closing(Client(server.url)) as client:
        refused(client.get(path), 404, code)


def test_what_was_pushed_is_all_there_is(server: ServerProcess) -> None:
    found = server.run("check", read_blobs=True)
    assert found.returncode == 0
    assert "1 repositories, 1 tags, 1 manifests, 2 blobs: no problems" in found.stdout
    assert OCI_MANIFEST in IMAGE.payload.decode()
