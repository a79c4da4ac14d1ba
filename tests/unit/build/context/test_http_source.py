"""Downloads: checked, bounded, and made again only when they changed."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from corten.build.context import http_source
from corten.build.context.http_source import HttpDownloads
from corten.errors import IntegrityError, InvalidArgument, NoSpace, NotFound, Unavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DATA = b"some content\n" * 1000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = web.Server(handler)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def downloads(tmp_path: Path) -> HttpDownloads:
    return HttpDownloads(tmp_path / "downloads", limit=1 << 20)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr(http_source.asyncio, "sleep", lambda seconds: real(0))


async def test_what_is_downloaded(downloads: HttpDownloads) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["User-Agent"].startswith("corten/")
        return web.Response(body=DATA, headers={"Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"})

    told: list[tuple[int, int]] = []
    async with serving(handler) as url:
        found = await downloads.fetch(f"{url}/a/file%20name?x=1", progress=lambda *step: told.append(step))
    assert (found.digest, found.size, found.filename, found.modified) == (
        DIGEST,
        len(DATA),
        "file name",
        1136214245,
    )
    assert downloads.path(found).read_bytes() == DATA
    assert downloads.path(found).stat().st_mtime == 1136214245
    assert told[-1] == (len(DATA), len(DATA))


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
async def test_what_did_not_change_is_not_sent_again(downloads: HttpDownloads, validator: str) -> None:
    value = '"v1"' if validator == "ETag" else "Mon, 02 Jan 2006 15:04:05 GMT"
    asked: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        condition = request.headers.get("If-None-Match" if validator == "ETag" else "If-Modified-Since")
        asked.append(condition)
        if condition == value:
            return web.Response(status=304)
        return web.Response(body=DATA, headers={validator: value})

    async with serving(handler) as url:
        first = await downloads.fetch(url)
        assert await downloads.fetch(url) == first
        downloads.path(first).unlink()
        assert await downloads.fetch(url) == first
    assert asked == [None, value, None]


async def test_what_changed_is_downloaded(downloads: HttpDownloads) -> None:
    bodies = [b"one", b"two"]

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bodies.pop(0))

    async with serving(handler) as url:
        first, second = await downloads.fetch(url), await downloads.fetch(url)
    assert downloads.path(first).read_bytes() == b"one" and downloads.path(second).read_bytes() == b"two"


async def test_a_checksum(downloads: HttpDownloads) -> None:
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(body=DATA)

    async with serving(handler) as url:
        with pytest.raises(IntegrityError, match=f"has the digest {DIGEST}, not sha256:00"):
            await downloads.fetch(url, checksum="sha256:" + "0" * 64)
        await downloads.fetch(url, checksum=DIGEST)
        await downloads.fetch(url, checksum=DIGEST)
    assert asked == 1


async def test_the_name_that_the_server_gives(downloads: HttpDownloads) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA, headers={"Content-Disposition": request.query["d"]})

    async with serving(handler) as url:
        for disposition, expected in (
            ('attachment; filename="a b.txt"', "a b.txt"),
            ("attachment; filename=plain.txt", "plain.txt"),
            ("attachment; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
            ('attachment; filename="../../etc/passwd"', "passwd"),
            ('attachment; filename=".."', "path"),
            ("inline", "path"),
        ):
            import urllib.parse

            query = urllib.parse.urlencode({"d": disposition})
            assert (await downloads.fetch(f"{url}/some/path?{query}")).filename == expected


async def test_redirects(downloads: HttpDownloads) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/round":
            raise web.HTTPFound("/round")
        if request.path == "/there":
            return web.Response(body=DATA)
        raise web.HTTPFound("/there")

    async with serving(handler) as url:
        assert (await downloads.fetch(url)).digest == DIGEST
        with pytest.raises(Unavailable, match="redirects more than 10 times"):
            await downloads.fetch(f"{url}/round")


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFound, "there is nothing at"),
        (403, Unavailable, "answers 403"),
        (503, Unavailable, "answers 503"),
    ],
)
async def test_answers_that_are_none(
    downloads: HttpDownloads, tmp_path: Path, status: int, error: type[Exception], message: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with serving(handler) as url:
        with pytest.raises(error, match=message):
            await downloads.fetch(url.replace("127.0.0.1", "user:secret@127.0.0.1"))


async def test_what_fails_once_is_tried_again(downloads: HttpDownloads) -> None:
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.Response(status=502)
        if asked == 2:
            response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
            await response.prepare(request)
            await response.write(DATA[:100])
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(body=DATA)

    async with serving(handler) as url:
        assert (await downloads.fetch(url)).digest == DIGEST
    assert asked == 3


@pytest.mark.parametrize("announced", [True, False])
async def test_the_limit(downloads: HttpDownloads, tmp_path: Path, announced: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = 5 << 20
        await response.prepare(request)
        for _ in range(5):
            await response.write(bytes(1 << 20))
        return response

    async with serving(handler) as url:
        with pytest.raises(InvalidArgument, match="more than the limit of 1048576 bytes"):
            await downloads.fetch(url)
    assert list((tmp_path / "downloads").iterdir()) == []


async def test_nobody_answers(downloads: HttpDownloads) -> None:
    with pytest.raises(Unavailable, match=r"cannot download http://127\.0\.0\.1:1/x: .*"):
        await downloads.fetch("http://127.0.0.1:1/x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "/etc/passwd", ""])
async def test_other_urls(downloads: HttpDownloads, url: str) -> None:
    with pytest.raises(InvalidArgument, match="only http"):
        await downloads.fetch(url)


async def test_a_server_that_nobody_vouches_for(downloads: HttpDownloads, tmp_path: Path) -> None:
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    request += ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert"), "-subj", "/CN=127.0.0.1"]
    try:
        subprocess.run(request, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA)

    async with serving(handler, context) as url:
        with pytest.raises(Unavailable, match=r"cannot download https://.*certificate"):
            await downloads.fetch(url)


async def test_a_full_disk(downloads: HttpDownloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA)

    def write(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    async with serving(handler) as url:
        with monkeypatch.context() as patch:
            patch.setattr(http_source.os, "write", write)
            patch.setattr(http_source.asyncio, "to_thread", _at_once)
            with pytest.raises(NoSpace, match="the disk is full"):
                await downloads.fetch(url)
    assert list((tmp_path / "downloads").iterdir()) == []


async def _at_once(function: Callable[..., object], *args: object) -> object:
    return function(*args)
