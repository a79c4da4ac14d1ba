"""What every place that keeps build caches by digests and names must do: S3, Azure Blob Storage, and GitHub's
cache in both of its versions."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager

import pytest

pytest.importorskip("obstore")

from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.options import parse_exports, parse_imports
from corten.build.cache_transfer.protocols import KeyedStore
from corten.errors import CortenError, NotFound
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from tests.actions_cache_server import MAIN, ActionsServer, actions_server, make_token
from tests.cache_servers import AzureServer, azure_server
from tests.registry_stores import S3Server, s3_server
from tests.unit.build.cache_transfer.machine import cache

Attributes = dict[str, str]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from s3_server(tmp_path_factory.mktemp("s3"))


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    yield from azure_server(tmp_path_factory.mktemp("azure"))


@pytest.fixture
def actions() -> Iterator[ActionsServer]:
    yield from actions_server()


def s3_attributes(server: S3Server) -> Attributes:
    options = server.options
    return {
        "bucket": "images",
        "region": options["region"],
        "endpoint_url": options["endpoint"],
        "use_path_style": "true",
        "access_key_id": options["access_key_id"],
        "secret_access_key": options["secret_access_key"],
        "prefix": f"{secrets.token_hex(6)}/",
    }


@pytest.fixture(params=["s3", "azblob", "gha-1", "gha-2"])
def place(request: pytest.FixtureRequest) -> tuple[str, Attributes]:
    """A type, and attributes of a place that nobody else uses."""
    if request.param == "s3":
        return "s3", s3_attributes(request.getfixturevalue("s3"))
    if request.param.startswith("gha"):
        service: ActionsServer = request.getfixturevalue("actions")
        url = "url" if request.param == "gha-1" else "url_v2"
        return "gha", {url: service.url, "token": service.token((MAIN, 3))}
    server: AzureServer = request.getfixturevalue("azure")
    return "azblob", server.attributes | {"container": f"c{secrets.token_hex(6)}"}


class Opening:
    """Opens the place, with attributes that override its own, within the test's event loop."""

    def __init__(self, kind: str, attributes: Attributes) -> None:
        self.kind, self.attributes = kind, attributes

    @asynccontextmanager
    async def __call__(self, **more: str) -> AsyncIterator[KeyedStore]:
        (item,) = parse_exports([cache(self.kind, **self.attributes | more)])
        async with KeyedStores() as stores:
            store = stores.open(item.place)  # type: ignore[arg-type]
            await store.prepare()
            yield store


@pytest.fixture
def opening(place: tuple[str, Attributes]) -> Opening:
    return Opening(*place)


def described(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", sha256_of(data), len(data))


def reader(data: bytes) -> Callable[[int], AsyncIterator[bytes]]:
    async def read(offset: int) -> AsyncIterator[bytes]:
        for start in range(offset, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]

    return read


async def received(store: KeyedStore, blob: Descriptor, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in store.download(blob, offset)])


@pytest.mark.parametrize("size", [1, 100_000, 40 << 20], ids=["a byte", "small", "in parts"])
async def test_a_blob_there_and_back(opening: Opening, size: int) -> None:
    data = os.urandom(size)
    blob = described(data)
    told: list[int] = []
    async with opening() as store:
        assert not await store.keep(blob)
        await store.upload(blob, reader(data), told.append)
        assert told == sorted(told) and told[-1] == size
        assert await store.keep(blob)
        assert await received(store, blob) == data
        assert await received(store, blob, size // 2) == data[size // 2 :]


async def test_a_blob_that_is_there_already_may_come_again(opening: Opening) -> None:
    """Two builds have found at once that it is missing."""
    data = os.urandom(1000)
    async with opening() as store:
        for _ in range(2):
            await store.upload(described(data), reader(data), lambda done: None)
        assert await received(store, described(data)) == data


async def test_what_is_missing(opening: Opening) -> None:
    blob = described(b"nobody has it")
    async with opening() as store:
        assert not await store.keep(blob)
        with pytest.raises(NotFound):
            await received(store, blob)


async def test_a_download_that_is_given_up(opening: Opening) -> None:
    data = os.urandom(40 << 20)
    async with opening() as store:
        await store.upload(described(data), reader(data), lambda done: None)
        async with aclosing(store.download(described(data))) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                assert data.startswith(piece)
                break
        assert await store.keep(described(data))
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_upload_that_is_cancelled_is_not_there(opening: Opening) -> None:
    data = os.urandom(40 << 20)
    begun = asyncio.Event()

    async def slow(offset: int) -> AsyncIterator[bytes]:
        for start in range(offset, len(data), 1 << 20):
            if start == 20 << 20:
                begun.set()
            if begun.is_set():
                await asyncio.sleep(0.05)
            yield data[start : start + (1 << 20)]

    async with opening() as store:
        task = asyncio.create_task(store.upload(described(data), slow, lambda done: None))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await store.keep(described(data))


async def test_manifests(opening: Opening) -> None:
    seen: list[bytes | None] = []

    def change(new: bytes) -> Callable[[bytes | None], bytes]:
        def changed(earlier: bytes | None) -> bytes:
            seen.append(earlier)
            return new

        return changed

    async with opening() as store:
        assert await store.manifests() == []
        await store.write_manifests(change(b"one"))
        assert await store.manifests() == [b"one"]
        await store.write_manifests(change(b"two"))
    async with opening() as another:
        assert await another.manifests() == [b"two"]
    assert seen == [None, b"one"]


async def test_imports_see_what_exports_wrote(opening: Opening) -> None:
    async with opening() as store:
        await store.write_manifests(lambda earlier: b"{}")
    (item,) = parse_imports([cache(opening.kind, **opening.attributes)])
    async with KeyedStores() as stores:
        assert await stores.open(item.place).manifests() == [b"{}"]  # type: ignore[arg-type]


async def test_wrong_keys_are_one_sentence(opening: Opening) -> None:
    key = "token" if opening.kind == "gha" else "secret_access_key"
    secret = (
        make_token((MAIN, 3)) if opening.kind == "gha" else "aVeryWrongKey+aVeryWrongKey+aVeryWrongKey+aa"
    )
    (item,) = parse_exports([cache(opening.kind, **opening.attributes | {key: secret})])
    blob = described(b"x")
    async with KeyedStores() as stores:
        store = stores.open(item.place)  # type: ignore[arg-type]
        for attempt in (
            store.manifests(),
            store.upload(blob, reader(b"x"), lambda done: None),
            store.write_manifests(lambda earlier: b"{}"),
        ):
            with pytest.raises(CortenError) as caught:
                await attempt
            assert secret not in caught.value.message and "\n" not in caught.value.message
            assert caught.value.message.startswith("cannot ")
