"""What every place that keeps build caches by digests and names must do: S3, Azure Blob Storage, and GitHub's
cache in both of its versions."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest

pytest.importorskip("obstore")

from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.options import parse_exports, parse_imports
from corten.build.cache_transfer.protocols import KeyedStore
from corten.errors import CortenError, NotFound
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
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


@pytest.fixture(params=["s3", "azblob"])
def place(request: pytest.FixtureRequest) -> tuple[str, Attributes]:
    """A type, and attributes of a place that nobody else uses."""
    if request.param == "s3":
        return "s3", s3_attributes(request.getfixturevalue("s3"))
    server: AzureServer = request.getfixturevalue("azure")
    return "azblob", server.attributes | {"container": f"c{secrets.token_hex(6)}"}


@pytest.fixture
def open_store(place: tuple[str, Attributes]) -> Callable[..., KeyedStore]:
    """Opens the place; with attributes that override its own."""
    stores = KeyedStores()

    def opened(**more: str) -> KeyedStore:
        kind, attributes = place
        (item,) = parse_exports([cache(kind, **attributes | more)])
        return stores.open(item.place)  # type: ignore[arg-type]

    return opened


@pytest.fixture
def store(open_store: Callable[..., KeyedStore]) -> KeyedStore:
    made = open_store()
    asyncio.run(made.prepare())
    return made


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
async def test_a_blob_there_and_back(store: KeyedStore, size: int) -> None:
    data = os.urandom(size)
    blob = described(data)
    assert not await store.keep(blob)
    told: list[int] = []
    await store.upload(blob, reader(data), told.append)
    assert told == sorted(told) and told[-1] == size
    assert await store.keep(blob)
    assert await received(store, blob) == data
    assert await received(store, blob, size // 2) == data[size // 2 :]


async def test_a_blob_that_is_there_already_may_come_again(store: KeyedStore) -> None:
    """Two builds have found at once that it is missing."""
    data = os.urandom(1000)
    for _ in range(2):
        await store.upload(described(data), reader(data), lambda done: None)
    assert await received(store, described(data)) == data


async def test_what_is_missing(store: KeyedStore) -> None:
    blob = described(b"nobody has it")
    assert not await store.keep(blob)
    with pytest.raises(NotFound):
        await received(store, blob)


async def test_a_download_that_is_given_up(store: KeyedStore) -> None:
    data = os.urandom(40 << 20)
    await store.upload(described(data), reader(data), lambda done: None)
    async with aclosing(store.download(described(data))) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            assert data.startswith(piece)
            break
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_upload_that_is_cancelled_is_not_there(store: KeyedStore) -> None:
    data = os.urandom(40 << 20)
    begun = asyncio.Event()

    async def slow(offset: int) -> AsyncIterator[bytes]:
        yield data[: 20 << 20]
        begun.set()
        for start in range(20 << 20, len(data), 1 << 20):
            await asyncio.sleep(0.05)
            yield data[start : start + (1 << 20)]

    task = asyncio.create_task(store.upload(described(data), slow, lambda done: None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await store.keep(described(data))


async def test_manifests(store: KeyedStore, open_store: Callable[..., KeyedStore]) -> None:
    assert await store.manifests() == []
    seen: list[bytes | None] = []

    def change(new: bytes) -> Callable[[bytes | None], bytes]:
        def changed(earlier: bytes | None) -> bytes:
            seen.append(earlier)
            return new

        return changed

    await store.write_manifests(change(b"one"))
    assert await store.manifests() == [b"one"]
    await store.write_manifests(change(b"two"))
    assert await open_store().manifests() == [b"two"]
    assert seen == [None, b"one"]


async def test_imports_see_what_exports_wrote(place: tuple[str, Attributes], store: KeyedStore) -> None:
    await store.write_manifests(lambda earlier: b"{}")
    (item,) = parse_imports([cache(place[0], **place[1])])
    async with KeyedStores() as stores:
        assert await stores.open(item.place).manifests() == [b"{}"]  # type: ignore[arg-type]


async def test_wrong_keys_are_one_sentence(
    place: tuple[str, Attributes], open_store: Callable[..., KeyedStore]
) -> None:
    secret = "aVeryWrongKey+aVeryWrongKey+aVeryWrongKey+aa"
    store = open_store(secret_access_key=secret)
    blob = described(b"x")
    for attempt in (
        store.manifests(),
        store.keep(blob),
        store.upload(blob, reader(b"x"), lambda done: None),
    ):
        with pytest.raises(CortenError) as caught:
            await attempt
        assert secret not in caught.value.message and "\n" not in caught.value.message
        assert caught.value.message.startswith("cannot ")
