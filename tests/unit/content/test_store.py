"""The content store: verified, durable, one winner, nothing half-made, nothing lost that somebody needs."""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corten.content import ContentStore
from corten.errors import IntegrityError, NotFound
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, sha256_of
from corten.oci.manifest import OCI_INDEX, OCI_MANIFEST, Index


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def leftovers(store: ContentStore) -> list[str]:
    return os.listdir(store.root / "ingest")


def test_is_an_image_layout(store: ContentStore) -> None:
    assert (store.root / "oci-layout").read_text() == '{"imageLayoutVersion":"1.0.0"}'
    assert store.read_index().manifests == ()
    entry = Descriptor(OCI_MANIFEST, sha256_of(b"x"), 1, annotations={"a": "b"})
    store.write_index(Index(schema_version=2, media_type=OCI_INDEX, manifests=(entry,)))
    assert store.read_index().manifests == (entry,)


def test_a_blob_is_written_and_read(store: ContentStore) -> None:
    with store.writer() as ingest:
        ingest.write(b"hello ")
        ingest.write(memoryview(b"world"))
        digest = ingest.commit()
    assert digest == sha256_of(b"hello world")
    assert store.read(digest) == b"hello world"
    assert store.info(digest).size == 11
    assert [blob.digest for blob in store.walk()] == [digest]
    assert leftovers(store) == []


def test_sha512(store: ContentStore) -> None:
    expected = Digest("sha512:" + hashlib.sha512(b"x").hexdigest())
    with store.writer(expected) as ingest:
        ingest.write(b"x")
        assert ingest.commit() == expected
    assert store.path(expected).read_bytes() == b"x"


@pytest.mark.parametrize("data", [b"", b"helloo", b"hell", b"jello"])
def test_wrong_content_is_refused_and_leaves_nothing(store: ContentStore, data: bytes) -> None:
    with pytest.raises(IntegrityError), store.writer(sha256_of(b"hello"), size=5) as ingest:
        ingest.write(data)
        ingest.commit()
    assert list(store.walk()) == []
    assert leftovers(store) == []


def test_leaving_without_commit_removes_the_file(store: ContentStore) -> None:
    with store.writer() as ingest:
        ingest.write(b"x")
        assert leftovers(store) != []
    assert leftovers(store) == []


def test_a_damaged_blob_is_noticed(store: ContentStore) -> None:
    digest = store.add(b"good").digest
    store.path(digest).write_bytes(b"evil")
    with pytest.raises(IntegrityError):
        store.read(digest)


def test_missing_and_malformed(store: ContentStore) -> None:
    with pytest.raises(NotFound):
        store.read(sha256_of(b"nothing"))
    with pytest.raises(IntegrityError):
        store.path("sha256:../../../etc/passwd")
    assert not store.contains("../x")


def test_concurrent_writers_of_one_blob(store: ContentStore) -> None:
    data = os.urandom(1 << 20)
    digests: list[str] = []

    def write() -> None:
        with store.writer(sha256_of(data)) as ingest:
            for start in range(0, len(data), 1 << 16):
                ingest.write(data[start : start + (1 << 16)])
            digests.append(ingest.commit())

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [sha256_of(data)] * 8
    assert store.read(digests[0]) == data
    assert leftovers(store) == []


def test_a_crash_leaves_only_ingest_files_that_the_next_start_removes(store: ContentStore) -> None:
    ingest = store.writer()
    ingest.write(b"half")
    (store.root / ".index.json.abc.new").write_text("torn")
    again = ContentStore(store.root)
    assert again.recover() == 1
    assert leftovers(again) == []
    assert not list(again.root.glob(".*.new"))
    assert again.read_index().manifests == ()
    ingest.abort()


def test_who_pins_does_not_wait_until_the_disk_has_freed_blobs(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"garbage")
    pinned = threading.Event()
    waited: list[bool] = []
    unlink = Path.unlink

    def slow(path: Path, missing_ok: bool = False) -> None:
        waited.append(pinned.wait(10))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", slow)
    with store.lease() as lease, ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(store.collect, set)
        while store.contains(sha256_of(b"garbage")):
            time.sleep(0.001)
        lease.pin(sha256_of(b"new"))
        pinned.set()
        assert collecting.result() == (1, len(b"garbage"))
    assert waited == [True]
    assert leftovers(store) == []


def test_collect_keeps_what_is_pinned_or_reachable(store: ContentStore) -> None:
    kept, pinned, garbage = (store.add(data).digest for data in (b"kept", b"pinned", b"garbage"))
    with store.lease() as lease:
        lease.pin(pinned)
        assert store.collect(lambda: {kept}) == (1, len(b"garbage"))
        assert not store.contains(garbage)
        assert not store.delete(pinned)
    assert store.collect(lambda: {kept}) == (1, len(b"pinned"))
    assert {blob.digest for blob in store.walk()} == {kept}


def test_a_lease_pins_what_is_being_written(store: ContentStore) -> None:
    with store.lease() as lease:
        digest = store.add(b"new", lease=lease).digest
        assert store.collect(set) == (0, 0)
    assert store.collect(set) == (1, 3)
    assert not store.contains(digest)
