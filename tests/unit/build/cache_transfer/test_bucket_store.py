"""Requests that a bucket gets: what ages is touched, what is there stays, failures are one sentence."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from urllib.parse import unquote

import pytest

pytest.importorskip("obstore")

from corten.build.cache_transfer.bucket.opening import open_s3
from corten.build.cache_transfer.bucket.options import S3Cache
from corten.build.cache_transfer.bucket.store import BucketStore
from corten.build.cache_transfer.options import parse_exports
from corten.errors import CortenError, NotFound, Unavailable
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from tests.unit.build.cache_transfer.machine import cache

DATA = b"hello"
BLOB = Descriptor("application/octet-stream", sha256_of(DATA), len(DATA))


class Bucket:
    """Answers as S3 does; objects have an `age` in seconds. `refusal`: what every request gets instead."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.age = 0.0
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.refusal: tuple[int, str] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.requests.append((self.command, self.path, headers))
                status, data = outer.answer(self.command, self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Last-Modified", formatdate(time() - outer.age, usegmt=True))
                self.send_header("ETag", '"x"')
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = _handle

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.refusal is not None:
            status, code = self.refusal
            return status, f"<Error><Code>{code}</Code><Message>So it is.</Message></Error>".encode()
        if "x-amz-copy-source" in headers:
            if headers["x-amz-copy-source"].strip("/") == path.strip("/"):
                assert headers["x-amz-metadata-directive"] == "REPLACE"  # S3 refuses it else
                assert "x-amz-metadata-directive" in headers["authorization"]  # signed
            self.age = 0.0
            return 200, b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"
        if method == "PUT":
            self.objects[unquote(path)] = body
            return 200, b""
        found = self.objects.get(unquote(path))
        return (404, b"") if found is None else (200, found)

    def methods(self) -> list[str]:
        return [method for method, _path, _headers in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.close()


def opened(bucket: Bucket, **more: str) -> BucketStore:
    attributes = {
        "bucket": "b",
        "region": "r",
        "endpoint_url": bucket.url,
        "prefix": "p/",
        "access_key_id": "AKIDENT",
        "secret_access_key": "hushhush",
        "retry_max_attempts": "1",
    }
    (item,) = parse_exports([cache("s3", **attributes | more)])
    assert isinstance(item.place, S3Cache)
    return open_s3(item.place)


async def read(offset: int) -> AsyncIterator[bytes]:
    yield DATA[offset:]


async def test_the_keys_are_those_of_buildkit(bucket: Bucket) -> None:
    store = opened(bucket, name="one;two")
    await store.upload(BLOB, read, lambda done: None)
    await store.write_manifests(lambda earlier: b"{}")
    assert set(bucket.objects) == {
        f"/b/p/blobs/{BLOB.digest}",
        "/b/p/manifests/one",
        "/b/p/manifests/two",
    }


@pytest.mark.parametrize(
    ("age", "refresh", "touched"),
    [(0, "24h", False), (23 * 3600, "24h", False), (25 * 3600, "24h", True), (100, "1m", True)],
    ids=["new", "a day", "older", "a minute"],
)
async def test_what_gets_old_is_touched(bucket: Bucket, age: float, refresh: str, touched: bool) -> None:
    store = opened(bucket, touch_refresh=refresh)
    await store.upload(BLOB, read, lambda done: None)
    bucket.age = age
    bucket.requests.clear()
    assert await store.keep(BLOB)
    assert bucket.methods() == (["HEAD", "PUT"] if touched else ["HEAD"])


async def test_another_size_is_another_blob(bucket: Bucket) -> None:
    store = opened(bucket)
    await store.upload(BLOB, read, lambda done: None)
    assert not await store.keep(Descriptor(BLOB.media_type, BLOB.digest, BLOB.size + 1))


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((403, "SignatureDoesNotMatch"), r"So it is \(SignatureDoesNotMatch\)$"),
        ((403, "AKIDENT hushhush"), r"So it is \(… …\)$"),
        ((404, "NoSuchBucket"), r"So it is \(NoSuchBucket\)$"),
        ((500, "InternalError"), r"So it is \(InternalError\)$"),
    ],
    ids=["signature", "secrets", "bucket", "server"],
)
async def test_refusals(bucket: Bucket, refusal: tuple[int, str], said: str) -> None:
    store = opened(bucket)
    bucket.refusal = refusal
    for attempt in (store.manifests(), store.upload(BLOB, read, lambda done: None)):
        with pytest.raises(CortenError, match=said) as caught:
            await attempt
        message = caught.value.message
        assert message.startswith("cannot ") and "hushhush" not in message and "AKIDENT" not in message
        assert "\n" not in message and bucket.url not in message


async def test_nobody_listens(bucket: Bucket) -> None:
    store = opened(bucket, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(
        Unavailable, match=r"^cannot look for p/blobs/sha256:\w+ in the build cache s3://b/p/"
    ):
        await store.keep(BLOB)


async def test_what_is_gone(bucket: Bucket) -> None:
    with pytest.raises(NotFound, match="in the build cache s3://b/p/manifests/buildkit: "):
        async for _piece in opened(bucket).download(BLOB):
            pass
