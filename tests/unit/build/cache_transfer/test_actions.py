"""type=gha: scopes, entries that are written once, a service that is busy, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from corten.build.cache_transfer.actions.options import ActionsCache
from corten.build.cache_transfer.actions.store import ActionsStore
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.options import parse_exports, parse_imports
from corten.errors import CortenError, Denied
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from tests.actions_cache_server import (
    API_TOKEN,
    BRANCH,
    MAIN,
    ActionsServer,
    actions_server,
    make_token,
)
from tests.unit.build.cache_transfer.machine import Machine, cache
from tests.unit.build.cache_transfer.test_transfer import application


@pytest.fixture
def server() -> Iterator[ActionsServer]:
    yield from actions_server()


@pytest.fixture(params=["url", "url_v2"], ids=["v1", "v2"])
def url(request: pytest.FixtureRequest, server: ActionsServer) -> dict[str, str]:
    return {request.param: server.url}


def opened(stores: KeyedStores, **attributes: str) -> ActionsStore:
    (item,) = parse_exports([cache("gha", **attributes)])
    store = stores.open(item.place)  # type: ignore[arg-type]
    assert isinstance(store, ActionsStore)
    return store


def blob_of(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", sha256_of(data), len(data))


async def read(offset: int) -> AsyncIterator[bytes]:
    yield b"data"[offset:]


async def test_from_one_machine_to_another(
    tmp_path: Path, server: ActionsServer, url: dict[str, str]
) -> None:
    place = cache("gha", token=server.token((MAIN, 3)), **url)
    async with KeyedStores() as first, KeyedStores() as second:
        one, other = Machine(tmp_path / "one", keyed=first), Machine(tmp_path / "other", keyed=second)
        try:
            target = application(one)
            with await one.run_build(target) as results:
                for _ in range(2):
                    await one.export_cache(target, results, place)
            keys = sorted(entry.key.partition("sha256:")[0] for entry in server.entries)
            assert keys[:2] == ["buildkit-blob-1-"] * 2  # once each
            assert [key.startswith("index-buildkit-1-") for key in keys[2:]] == [True, True]
            assert [key[-2:] for key in keys[2:]] == ["#1", "#2"]
            target = application(other)
            with await other.run_build(target, place) as results:
                assert other.ran_commands == [] and other.notes == []
                await other.real_images.fetch(results.result(target).layers, lambda *status: None)
        finally:
            await one.close()
            await other.close()


async def test_scopes(server: ActionsServer, url: dict[str, str]) -> None:
    """A branch reads what main has, and writes its own."""
    async with KeyedStores() as stores:
        main = opened(stores, token=server.token((MAIN, 3)), **url)
        branch = opened(stores, token=server.token((MAIN, 1), (BRANCH, 3)), **url)
        other = opened(stores, token=server.token((MAIN, 3)), scope="other", **url)
        await main.write_manifests(lambda earlier: b"main")
        await branch.write_manifests(lambda earlier: b"branch" if earlier is None else b"")
        assert await branch.manifests() == [b"main", b"branch"]
        assert await main.manifests() == [b"main"]
        assert await other.manifests() == []
        reader = opened(stores, token=server.token((MAIN, 1)), **url)
        assert await reader.manifests() == [b"main"]
        with pytest.raises(Denied, match="the token may only read"):
            await reader.prepare()


async def test_two_writers(
    server: ActionsServer, url: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that somebody has begun is waited for; and passed over when he has died."""
    monkeypatch.setattr("corten.build.cache_transfer.actions.store._PAUSE", 0.01)
    monkeypatch.setattr("corten.build.cache_transfer.actions.store._FORCE", 0.02)
    async with KeyedStores() as stores:
        store = opened(stores, token=server.token((MAIN, 3)), **url)
        await store.write_manifests(lambda earlier: b"1")
        server.entries[0].done = False
        seen: list[bytes | None] = []

        def change(earlier: bytes | None) -> bytes:
            seen.append(earlier)
            return b"2"

        await store.write_manifests(change)
        assert seen == [None] * 4 and server.entries[-1].key.endswith("#2")
        assert await store.manifests() == [b"2"]


async def test_a_busy_service(server: ActionsServer, url: dict[str, str]) -> None:
    async with KeyedStores() as stores:
        store = opened(stores, token=server.token((MAIN, 3)), **url)
        server.failures[:] = [429, 503]
        await store.upload(blob_of(b"data"), read, lambda done: None)
        assert await store.keep(blob_of(b"data"))
        hurried = opened(stores, token=server.token((MAIN, 3)), timeout="10ms", **url)
        server.failures[:] = [503] * 3
        with pytest.raises(CortenError, match=r"cannot look for buildkit-blob.*: too busy$"):
            await hurried.keep(blob_of(b"data"))
        server.failures.clear()


@pytest.mark.parametrize(
    "place", ["", "file:///etc/passwd", "http://host:port/", "http://a/\r\nX: y"], ids=repr
)
async def test_a_service_that_names_no_place(
    server: ActionsServer, url: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with KeyedStores() as stores:
        store = opened(stores, token=server.token((MAIN, 3)), **url)
        await store.write_manifests(lambda earlier: b"{}")
        monkeypatch.setattr("tests.actions_cache_server._Handler._url", lambda handler, entry: place)
        with pytest.raises(CortenError, match=r"cannot look for index-.* names a place that is no URL$"):
            await store.manifests()


async def test_no_room(server: ActionsServer) -> None:
    async with KeyedStores() as stores:
        store = opened(stores, token=server.token((MAIN, 3)), url_v2=server.url)
        server.full = True
        for attempt in (
            store.upload(blob_of(b"data"), read, lambda done: None),
            store.write_manifests(lambda earlier: b"{}"),
        ):
            with pytest.raises(CortenError, match=r"does not take it: no room \[31m left$"):
                await attempt


async def test_all_keys_at_once(server: ActionsServer, url: dict[str, str]) -> None:
    token = server.token((MAIN, 3))
    more = {"repository": "o/r", "api_url": server.url}
    async with KeyedStores() as stores:
        first = opened(stores, token=token, **url)
        await first.upload(blob_of(b"data"), read, lambda done: None)
        store = opened(stores, token=token, ghtoken=API_TOKEN, **more, **url)
        await store.prepare()
        server.log.clear()
        assert await store.keep(blob_of(b"data")) and not await store.keep(blob_of(b"else"))
        assert server.log == []
        # Where the API refuses, each blob is asked for.
        store = opened(stores, token=token, ghtoken="wrong", **more, **url)
        await store.prepare()
        assert await store.keep(blob_of(b"data")) and server.log


def test_versions() -> None:
    def version(**attributes: str) -> tuple[int, str]:
        (item,) = parse_imports([cache("gha", token="t", **attributes)])
        assert isinstance(item.place, ActionsCache)
        return item.place.version, item.place.url

    assert version(url="https://a/x/") == (1, "https://a/x")
    assert version(url="https://a", url_v2="https://b") == (2, "https://b")
    assert version(url="https://a", url_v2="https://b", version="1") == (1, "https://a")
    assert version(url="https://a", version="2") == (2, "https://a")
    github = "https://results-receiver.actions.githubusercontent.com"
    assert version(url=github + "/") == (2, github)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({}, "needs token=…, or the variable ACTIONS_RUNTIME_TOKEN"),
        ({"token": "t"}, "needs url=…, or one of the variables"),
        ({"token": "t", "url": "x"}, "url is no URL"),
        ({"token": "t", "url": "https://a:port"}, "url is no URL"),
        ({"token": "t", "url": "https://a:b@host"}, "url must not have a password in it"),
        ({"token": "t", "url": "https://a", "version": "3"}, "version is 1 or 2"),
        ({"token": "t", "url": "https://a", "timeout": "soon"}, "timeout is a time like 10m"),
        ({"token": "t", "url": "https://a", "timeout": "0"}, "timeout must be more than nothing"),
        ({"token": "t", "url": "https://a", "scope": "a,b"}, "scope must not have a comma"),
        ({"token": "t", "url": "https://a", "bucket": "b"}, "unknown attribute 'bucket'"),
    ],
    ids=str,
)
def test_refused(attributes: dict[str, str], said: str) -> None:
    with pytest.raises(CortenError, match=said):
        parse_exports([cache("gha", **attributes)])


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hush-hush", "it is no JWT"),
        ("a.b.c", "it is no JWT"),
        ("a.e30.c", "it is no JWT"),
        (make_token((MAIN, 3), lasts=-10), "it has run out"),
    ],
    ids=["text", "no base64", "no scopes", "old"],
)
def test_tokens_refused(token: str, said: str) -> None:
    async def attempt() -> None:
        async with KeyedStores() as stores:
            opened(stores, token=token, url="https://a")

    with pytest.raises(Denied, match=said) as caught:
        asyncio.run(attempt())
    assert token not in caught.value.message
    (item,) = parse_exports([cache("gha", token=token, url="https://a", ghtoken="hidden")])
    assert token not in repr(item) and "hidden" not in repr(item)
