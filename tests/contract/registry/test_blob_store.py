"""What every blob store does; a new one is added to `STORES`."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("obstore")

from obstore.store import LocalStore, MemoryStore

from corten.errors import NotFound, Unavailable
from corten.registry.blobs import objects
from corten.registry.blobs.local import LocalBlobs
from corten.registry.blobs.objects import ObjectBlobs
from corten.registry.blobs.store import Adopted, BlobStore, digest_in, location_of, upload_in
from tests.registry_server import digest_of
from tests.registry_stores import S3Server, s3_server

STORES = ("files", "objects in files", "objects in memory", "s3")
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from s3_server(tmp_path_factory.mktemp("s3"))


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "files":
        return LocalBlobs(tmp_path)
    if request.param == "objects in files":
        return ObjectBlobs(LocalStore(str(tmp_path), mkdir=True), "files")
    if request.param == "objects in memory":
        return ObjectBlobs(MemoryStore(), "memory")
    server: S3Server = request.getfixturevalue("s3")
    return ObjectBlobs.from_url(server.url(), server.options)


def send(store: BlobStore, upload: str, offset: int, state: str, *pieces: bytes) -> str:
    appender = store.append(upload, offset, state)
    try:
        appender.write(pieces)
        return appender.commit()
    finally:
        appender.close()


def new_upload() -> str:
    return f"{next(_NUMBERS):032x}"


def publish(store: BlobStore, data: bytes) -> str:
    upload = new_upload()
    state = send(store, upload, 0, "", data)
    location = location_of(digest_of(data), upload)
    store.publish(upload, state, len(data), location)
    return location


async def streamed(store: BlobStore, location: str, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in store.stream(location, start, end)])


@pytest.mark.parametrize("size", [0, 1, 100_000, 9 << 20])
def test_upload_becomes_a_blob(store: BlobStore, size: int) -> None:
    data = os.urandom(size)
    location = publish(store, data)
    assert store.size(location) == size
    assert b"".join(store.read(location)) == data
    assert asyncio.run(streamed(store, location, 0, size)) == data


def test_several_requests(store: BlobStore) -> None:
    upload, state, sent = new_upload(), "", b""
    for piece in (b"a" * 1000, b"b", b"c" * 70_000):
        state = send(store, upload, len(sent), state, piece[:1], piece[1:])
        sent += piece
        assert b"".join(store.read_upload(upload, state, len(sent))) == sent
    location = location_of(digest_of(sent), upload)
    store.publish(upload, state, len(sent), location)
    assert b"".join(store.read(location)) == sent


def test_what_was_not_committed_does_not_count(store: BlobStore) -> None:
    upload = new_upload()
    state = send(store, upload, 0, "", b"counts ")
    appender = store.append(upload, 7, state)
    appender.write([b"does not"])
    appender.close()
    state = send(store, upload, 7, state, b"either")
    location = location_of(digest_of(b"counts either"), upload)
    store.publish(upload, state, 13, location)
    assert b"".join(store.read(location)) == b"counts either"


def test_publish_may_be_repeated(store: BlobStore) -> None:
    upload = new_upload()
    state = send(store, upload, 0, "", b"twice")
    location = location_of(digest_of(b"twice"), upload)
    for _ in range(2):
        store.publish(upload, state, 5, location)
    assert b"".join(store.read(location)) == b"twice"


def test_bytes_that_are_not_there(store: BlobStore) -> None:
    with pytest.raises(NotFound):
        store.append(new_upload(), 10, "")
    with pytest.raises(NotFound):
        store.publish(new_upload(), "", 10, location_of(digest_of(b"x"), "0"))
    absent = location_of(digest_of(b"absent"), "0")
    assert store.size(absent) is None
    with pytest.raises(NotFound):
        list(store.read(absent))


def test_delete_and_discard_may_be_repeated(store: BlobStore) -> None:
    location = publish(store, b"gone")
    upload = new_upload()
    send(store, upload, 0, "", b"given up")
    for _ in range(2):
        store.delete(location)
        store.discard(upload)
    assert store.size(location) is None
    assert list(store.list()) == []


def test_list(store: BlobStore) -> None:
    location = publish(store, b"blob")
    upload = new_upload()
    send(store, upload, 0, "", b"upload")
    found = {upload_in(entry.location) or entry.location: entry.size for entry in store.list()}
    assert found == {location: 4, upload: 6}
    assert digest_in(location) == digest_of(b"blob")


def test_same_digest_twice_is_two_blobs(store: BlobStore) -> None:
    first, second = publish(store, b"same"), publish(store, b"same")
    assert first != second
    store.delete(first)
    assert b"".join(store.read(second)) == b"same"


@pytest.mark.parametrize(("start", "end"), [(0, 10), (10, 100_000), (99_999, 100_000), (50, 50)])
def test_parts(store: BlobStore, start: int, end: int) -> None:
    data = os.urandom(100_000)
    assert asyncio.run(streamed(store, publish(store, data), start, end)) == data[start:end]


def test_ways_past_the_registry(store: BlobStore) -> None:
    """A file for sendfile, or a URL that is signed; where there is one, it leads to the bytes."""
    location = publish(store, b"direct")
    path, url = store.local_path(location), store.signed_url(location, 60)
    if path is not None:
        assert Path(path).read_bytes() == b"direct"
    if url is not None:
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"direct"


def test_writable(store: BlobStore) -> None:
    store.check_writable()


def test_what_does_not_count_takes_no_room(tmp_path: Path) -> None:
    store = LocalBlobs(tmp_path)
    appender = store.append("f" * 32, 0, "")
    appender.write([b"x" * 100_000])
    appender.close()
    assert [entry.size for entry in store.list()] == [0]


def test_a_file_is_taken_over(store: BlobStore, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "source").write_bytes(data)
    location = location_of(digest_of(data), new_upload())
    how = store.adopt(str(tmp_path / "source"), location)
    assert (how is Adopted.LINKED) == isinstance(store, LocalBlobs)
    (tmp_path / "source").unlink()
    assert b"".join(store.read(location)) == data
    assert [entry.size for entry in store.list() if entry.location == location] == [len(data)]
    with pytest.raises((NotFound, Unavailable)):
        store.adopt(str(tmp_path / "absent"), location_of(digest_of(b""), new_upload()))


def test_files_that_cannot_be_linked_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "source").write_bytes(b"data")
    (tmp_path / "source").chmod(0o644)
    store = LocalBlobs(tmp_path / "store")
    location = location_of(digest_of(b"data"), new_upload())
    assert store.adopt(str(tmp_path / "source"), location) in (Adopted.CLONED, Adopted.COPIED)
    path = tmp_path / "store" / location
    assert path.read_bytes() == b"data" and path.stat().st_mode & 0o777 == 0o600
    assert not path.samefile(tmp_path / "source")


@pytest.mark.parametrize(
    ("size", "part"),
    [(0, 8 << 20), (5 << 30, 8 << 20), (74 << 30, 8 << 20), (75 << 30, 9 << 20), (5 << 40, 552 << 20)],
)
def test_parts_are_few_enough(size: int, part: int) -> None:
    """S3 takes 10,000 parts of 5 MiB to 5 GiB."""
    assert objects.part_size(size) == part
    assert -(-size // part) <= 10_000


def test_an_upload_of_more_parts_than_a_store_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows before how long a body in chunks will be: it becomes several objects, and one blob."""
    monkeypatch.setattr(objects, "PART", 100_000)
    monkeypatch.setattr(objects, "MAX_PARTS", 2)
    store = ObjectBlobs(MemoryStore(), "memory")
    upload, data = new_upload(), os.urandom(1_050_000)
    pieces = [data[begin : begin + 50_000] for begin in range(0, len(data), 50_000)]
    state = send(store, upload, 0, "", *pieces[:15])
    state = send(store, upload, 750_000, state, *pieces[15:])
    assert len([entry for entry in store.list() if upload_in(entry.location) == upload]) == 6
    assert b"".join(store.read_upload(upload, state, 800_000)) == data[:800_000]
    location = location_of(digest_of(data), upload)
    store.publish(upload, state, len(data), location)
    assert b"".join(store.read(location)) == data
    assert [entry.location for entry in store.list()] == [location]
