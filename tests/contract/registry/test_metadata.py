"""What every metadata store does, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import update

from corten.registry.blobs.store import location_of
from corten.registry.metadata.database import Database
from corten.registry.metadata.records import Doomed, NewManifest, Reference, Upload
from corten.registry.metadata.schema import manifest_payloads
from corten.registry.metadata.store import SqlMetadata
from corten.registry.uploads import left_behind
from tests.registry_server import OCI_INDEX, OCI_MANIFEST, digest_of
from tests.registry_stores import PostgresServer, postgres_server

HOUR = 3_600_000


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    yield from postgres_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def metadata(
    request: pytest.FixtureRequest, tmp_path: Path, loop_runner: asyncio.Runner
) -> Iterator[SqlMetadata]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        url = request.getfixturevalue("postgres").new_database()
    database = Database(url)
    assert database.migrate() == 0
    assert database.migrate() > 0
    store = SqlMetadata(database)
    yield store
    loop_runner.run(store.close())


async def push_blob(
    metadata: SqlMetadata, repository: str, data: bytes, grace: int = HOUR, identity: str = ""
) -> str:
    digest = digest_of(data)
    upload = Upload(identity or digest_of(repository.encode() + data)[7:39], repository, "sha256")
    await metadata.begin_upload(upload)
    assert await metadata.aim_upload(upload.id, digest)
    location = location_of(digest, upload.id)
    blob = await metadata.finish_upload(
        upload, digest, len(data), location, grace, [Doomed(location, digest, len(data))]
    )
    assert blob is not None
    return digest


def manifest_of(*blobs: bytes, note: str = "", subject: str = "") -> NewManifest:
    payload = (note + " ".join(map(digest_of, blobs))).encode()
    return NewManifest(
        digest_of(payload),
        OCI_MANIFEST,
        payload,
        subject=subject,
        references=tuple(Reference(digest_of(blob), len(blob)) for blob in blobs),
    )


def index_of(*children: NewManifest) -> NewManifest:
    payload = " ".join(child.digest for child in children).encode()
    references = tuple(Reference(child.digest, len(child.payload), True) for child in children)
    return NewManifest(digest_of(payload), OCI_INDEX, payload, references=references)


async def settle(metadata: SqlMetadata, grace: int = 0) -> list[str]:
    """Collects until nothing is due; the digests of the blobs that are doomed."""
    while (await metadata.collect(grace, 24 * HOUR, 2))[0]:
        pass
    return sorted(entry.digest for entry in await metadata.due_doomed(100) if entry.digest)


async def test_nothing_is_there(metadata: SqlMetadata) -> None:
    assert await metadata.manifest("a", "latest") is None
    assert await metadata.manifest("a", digest_of(b"x")) is None
    assert await metadata.blob("a", digest_of(b"x")) is None
    assert await metadata.upload("a", "0") is None
    assert await metadata.tag_names("a", "", 10) == []
    assert await metadata.referrers("a", digest_of(b"x")) == []
    assert not await metadata.has_repository("a")
    assert await metadata.delete_manifest("a", digest_of(b"x")) is None
    assert await metadata.unlink_blob("a", digest_of(b"x")) is None
    assert not await metadata.delete_tag("a", "latest")
    assert not await metadata.keep_blob("a", digest_of(b"x"))
    assert not await metadata.drop_upload("0", [])


async def test_manifest_with_tags(metadata: SqlMetadata) -> None:
    await push_blob(metadata, "a/b", b"layer")
    manifest = manifest_of(b"layer")
    assert await metadata.put_manifest("a/b", manifest, ["one", "two"]) == []
    for reference in ("one", "two", manifest.digest):
        found = await metadata.manifest("a/b", reference)
        assert found is not None
        assert (found.digest, found.media_type, found.payload) == (
            manifest.digest,
            OCI_MANIFEST,
            manifest.payload,
        )
    assert await metadata.manifest("a", "one") is None
    assert await metadata.put_manifest("a/b", manifest, ["one"]) == []


async def test_manifest_that_lacks_something_stores_nothing(metadata: SqlMetadata) -> None:
    await push_blob(metadata, "a", b"layer")
    manifest = manifest_of(b"layer", b"absent")
    (missing,) = await metadata.put_manifest("a", manifest, ["latest"])
    assert (missing.reference.digest, missing.size) == (digest_of(b"absent"), -1)
    assert await metadata.manifest("a", "latest") is None
    assert len(await metadata.put_manifest("b", manifest, ["latest"])) == 2
    assert not await metadata.has_repository("b")


async def test_sizes_are_compared(metadata: SqlMetadata) -> None:
    await push_blob(metadata, "a", b"layer")
    payload = b"wrong"
    wrong = NewManifest(
        digest_of(payload), OCI_MANIFEST, payload, references=(Reference(digest_of(b"layer"), 6),)
    )
    (missing,) = await metadata.put_manifest("a", wrong, [])
    assert missing.size == 5


async def test_optional_references(metadata: SqlMetadata) -> None:
    """They may be missing; when they are there, they are kept."""
    await push_blob(metadata, "a", b"here", 0)
    payload = b"foreign"
    manifest = NewManifest(
        digest_of(payload),
        OCI_MANIFEST,
        payload,
        references=(
            Reference(digest_of(b"here"), 4, optional=True),
            Reference(digest_of(b"elsewhere"), 9, optional=True),
        ),
    )
    assert await metadata.put_manifest("a", manifest, []) == []
    assert await settle(metadata) == []
    assert await metadata.broken_references(None, 10) == []


async def test_many_references(metadata: SqlMetadata) -> None:
    blobs = [f"blob {number}".encode() for number in range(1201)]
    for blob in blobs[:3]:
        await push_blob(metadata, "a", blob)
    missing = await metadata.put_manifest("a", manifest_of(*blobs), [])
    assert len(missing) == 1198


async def test_names_are_in_the_order_of_bytes(metadata: SqlMetadata) -> None:
    await push_blob(metadata, "a", b"x")
    manifest = manifest_of(b"x")
    names = ["0", "A", "B_", "_", "a", "a-b", "a.b", "ab", "z"]
    await metadata.put_manifest("a", manifest, list(reversed(names)))
    assert await metadata.tag_names("a", "", 100) == sorted(names)
    assert await metadata.tag_names("a", "A", 2) == ["B_", "_"]
    assert await metadata.tag_names("a", "zz", 2) == []


async def test_repositories_with_manifests_are_listed(metadata: SqlMetadata) -> None:
    for name in ("b", "a/c", "a-b", "a/b", "only-blobs"):
        await push_blob(metadata, name, b"x")
        if name != "only-blobs":
            await metadata.put_manifest(name, manifest_of(b"x"), [])
    assert await metadata.repository_names("", 10) == ["a-b", "a/b", "a/c", "b"]
    assert await metadata.repository_names("a-b", 2) == ["a/b", "a/c"]


async def test_referrers(metadata: SqlMetadata) -> None:
    await push_blob(metadata, "a", b"x")
    subject = digest_of(b"subject")
    first, second = (manifest_of(b"x", note=note, subject=subject) for note in ("1", "2"))
    for manifest in (first, second, manifest_of(b"x")):
        await metadata.put_manifest("a", manifest, [])
    assert [found.digest for found in await metadata.referrers("a", subject)] == [first.digest, second.digest]
    assert await metadata.referrers("b", subject) == []


async def test_upload_goes_on(metadata: SqlMetadata) -> None:
    upload = Upload("f" * 32, "a", "sha512")
    await metadata.begin_upload(upload)
    assert await metadata.upload("a", upload.id) == upload
    assert await metadata.upload("b", upload.id) is None
    assert await metadata.advance_upload(upload, 10, "sha512:00", "state")
    assert not await metadata.advance_upload(upload, 20, "", "other")
    found = await metadata.upload("a", upload.id)
    assert found == Upload(upload.id, "a", "sha512", 10, "sha512:00", "state")


async def test_upload_is_finished_once(metadata: SqlMetadata) -> None:
    upload = Upload("f" * 32, "a", "sha256")
    await metadata.begin_upload(upload)
    digest = digest_of(b"x")
    assert await metadata.aim_upload(upload.id, digest)
    assert await metadata.aim_upload(upload.id, digest)
    assert not await metadata.aim_upload(upload.id, digest_of(b"y"))
    assert await metadata.finish_upload(upload, digest, 1, "place", HOUR, []) is not None
    assert await metadata.finish_upload(upload, digest, 1, "place", HOUR, []) is None


async def test_a_blob_is_stored_once(metadata: SqlMetadata) -> None:
    """The second upload's bytes are doomed, whichever way it comes."""
    digest = await push_blob(metadata, "a", b"x", identity="1" * 32)
    await push_blob(metadata, "b", b"x", identity="2" * 32)
    found = await metadata.blob("b", digest)
    assert found is not None and found[0].location.endswith("1" * 32)
    assert [entry.location[-32:] for entry in await metadata.due_doomed(10)] == ["2" * 32]
    assert await metadata.has_blob(digest)
    third = Upload("3" * 32, "c", "sha256")
    await metadata.begin_upload(third)
    assert await metadata.finish_upload(third, digest, 1, "", HOUR, left_behind(third)) is not None


async def test_mount(metadata: SqlMetadata) -> None:
    digest = await push_blob(metadata, "a", b"x")
    assert await metadata.mount_blob("b", digest, "absent", HOUR) is None
    assert not await metadata.has_repository("b")
    assert await metadata.mount_blob("b", digest, "a", HOUR) is not None
    assert await metadata.blob("b", digest) is not None
    assert sorted(await metadata.repositories_with(digest, 10)) == ["a", "b"]


async def test_what_an_image_needs_cannot_be_deleted(metadata: SqlMetadata) -> None:
    digest = await push_blob(metadata, "a", b"x")
    manifest = manifest_of(b"x")
    await metadata.put_manifest("a", manifest, ["latest"])
    index = index_of(manifest)
    await metadata.put_manifest("a", index, [])
    assert await metadata.unlink_blob("a", digest) == manifest.digest
    assert await metadata.delete_manifest("a", manifest.digest) == index.digest
    assert await metadata.delete_manifest("a", index.digest) == ""
    assert await metadata.delete_manifest("a", manifest.digest) == ""
    assert await metadata.manifest("a", "latest") is None
    assert await metadata.unlink_blob("a", digest) == ""
    assert await metadata.blob("a", digest) is None


async def test_payload_stays_while_another_repository_has_it(metadata: SqlMetadata) -> None:
    manifest = manifest_of(b"x")
    for name in ("a", "b"):
        await push_blob(metadata, name, b"x")
        await metadata.put_manifest(name, manifest, ["latest"])
    await metadata.delete_manifest("a", manifest.digest)
    assert await metadata.manifest("b", "latest") is not None
    assert len(await metadata.payloads("", 10)) == 1
    await metadata.delete_manifest("b", manifest.digest)
    assert await metadata.payloads("", 10) == []


async def test_blobs_of_a_deleted_manifest_are_collected(metadata: SqlMetadata) -> None:
    shared, own = await push_blob(metadata, "a", b"shared"), await push_blob(metadata, "a", b"own")
    gone, stays = manifest_of(b"shared", b"own"), manifest_of(b"shared")
    for manifest in (gone, stays):
        await metadata.put_manifest("a", manifest, [])
    await metadata.delete_manifest("a", gone.digest)
    assert await settle(metadata) == [own]
    assert await metadata.blob("a", own) is None
    assert await metadata.blob("a", shared) is not None


async def test_what_a_push_was_told_of_stays_for_the_grace(metadata: SqlMetadata) -> None:
    digest = await push_blob(metadata, "a", b"fresh", 0)
    assert await settle(metadata, grace=HOUR) == []
    reasons = await metadata.explain(HOUR, 24 * HOUR, 10)
    assert [(reason.digest, reason.goes) for reason in reasons] == [(digest, False)]
    assert "push" in reasons[0].why


async def test_kept_after_its_manifest_is_gone(metadata: SqlMetadata) -> None:
    """HEAD has told a push that the blob is here; then its only manifest goes."""
    digest = await push_blob(metadata, "a", b"x", 0)
    manifest = manifest_of(b"x")
    await metadata.put_manifest("a", manifest, [])
    assert await metadata.keep_blob("a", digest)
    await metadata.delete_manifest("a", manifest.digest)
    assert await settle(metadata, grace=HOUR) == []
    assert await metadata.put_manifest("a", manifest, []) == []


async def test_a_push_under_way_keeps_its_blobs(metadata: SqlMetadata) -> None:
    """However long its other layers take: the blob has no manifest yet, and an upload is open."""
    await push_blob(metadata, "a", b"first layer", 0)
    await metadata.begin_upload(Upload("e" * 32, "a", "sha256"))
    assert await settle(metadata) == []
    (reason,) = await metadata.explain(0, 24 * HOUR, 10)
    assert (reason.goes, reason.why) == (False, "a push into its repository is under way")
    await metadata.drop_upload("e" * 32, [])
    (reason,) = await metadata.explain(0, 24 * HOUR, 10)
    assert reason.goes


async def test_blob_of_another_repository_is_not_deleted(metadata: SqlMetadata) -> None:
    digest = await push_blob(metadata, "a", b"x", 0)
    await metadata.mount_blob("b", digest, "a", HOUR)
    assert await settle(metadata) == []
    assert await metadata.blob("a", digest) is None
    assert await metadata.blob("b", digest) is not None


async def test_uploads_that_nobody_continues_expire(metadata: SqlMetadata) -> None:
    upload = Upload("f" * 32, "a", "sha256")
    await metadata.begin_upload(upload)
    await metadata.aim_upload(upload.id, digest_of(b"x"))
    assert await metadata.expire_uploads(HOUR, 10, left_behind) == 0
    assert await metadata.expire_uploads(-HOUR, 10, left_behind) == 1
    assert await metadata.upload("a", upload.id) is None
    assert not await metadata.has_repository("a")
    doomed = {entry.location for entry in await metadata.due_doomed(10)}
    assert doomed == {f"uploads/{upload.id}", location_of(digest_of(b"x"), upload.id)}
    await metadata.deleted(sorted(doomed))
    assert await metadata.due_doomed(10) == []


async def test_what_cannot_be_deleted_is_tried_later(metadata: SqlMetadata) -> None:
    await metadata.doom([Doomed("blobs/x", "x", 1)])
    await metadata.not_deleted("blobs/x")
    assert await metadata.due_doomed(10) == []
    assert await metadata.known_locations(["blobs/x", "blobs/y"]) == {"blobs/x"}


async def test_lease(metadata: SqlMetadata) -> None:
    assert await metadata.take_lease("collector", "one", 60)
    assert not await metadata.take_lease("collector", "two", 60)
    assert await metadata.take_lease("collector", "one", -1)
    assert await metadata.take_lease("collector", "two", 60)
    await metadata.drop_lease("collector", "two")
    assert await metadata.take_lease("collector", "one", 60)


async def test_pushes_and_collections_at_once(metadata: SqlMetadata) -> None:
    """Whatever order they come in: a manifest that was accepted has its blobs."""

    async def push(number: int) -> None:
        data, name = f"blob {number % 3}".encode(), f"repository{number % 2}"
        for attempt in range(8):
            identity = f"{number:016x}{attempt:016x}"
            await push_blob(metadata, name, data, 0, identity)
            manifest = manifest_of(data, note=str(number))
            if not await metadata.put_manifest(name, manifest, [f"t{number}"]):
                assert await metadata.delete_manifest(name, manifest.digest) == ""

    async def collect() -> None:
        for _ in range(20):
            await metadata.collect(0, 0, 10)
            await asyncio.sleep(0)

    await asyncio.gather(*(push(number) for number in range(6)), collect(), collect())
    assert await metadata.broken_references(None, 10) == []
    await settle(metadata)
    assert [row.digest for row in await metadata.stored_blobs("", 10)] == []
    assert not await metadata.has_repository("repository0")


async def test_bytes_that_are_lost_are_taken_anew(metadata: SqlMetadata) -> None:
    digest = await push_blob(metadata, "a", b"x")
    manifest = manifest_of(b"x")
    await metadata.put_manifest("a", manifest, [])
    (row,) = await metadata.stored_blobs("", 10)
    assert await metadata.lose_blob(row)
    assert not await metadata.lose_blob(row)
    assert [entry.location for entry in await metadata.due_doomed(10)] == [row.location]
    assert not await metadata.has_blob(digest)
    assert await metadata.mount_blob("b", digest, "a", HOUR) is None
    assert len(await metadata.put_manifest("a", manifest, [])) == 1
    await push_blob(metadata, "c", b"x", identity="c" * 32)
    found = await metadata.blob("a", digest)
    assert found is not None and found[0].location.endswith("c" * 32)
    assert await metadata.put_manifest("a", manifest, []) == []


async def test_an_index_may_list_blobs(metadata: SqlMetadata) -> None:
    """BuildKit's caches are such: the collector must know what is needed."""
    digest = await push_blob(metadata, "a", b"cached", 0)
    child = manifest_of()
    assert await metadata.put_manifest("a", child, []) == []
    payload = b"a cache"
    listed = (Reference(digest, 6, True), Reference(child.digest, len(child.payload), True))
    cache = NewManifest(digest_of(payload), OCI_INDEX, payload, references=listed)
    assert await metadata.put_manifest("b", cache, []) != []
    assert await metadata.put_manifest("a", cache, ["cache"]) == []
    assert await settle(metadata) == []
    assert await metadata.unlink_blob("a", digest) == cache.digest
    assert await metadata.delete_manifest("a", child.digest) == cache.digest
    assert await metadata.broken_references(None, 10) == []
    assert await metadata.delete_manifest("a", cache.digest) == ""
    assert await settle(metadata) == [digest]


async def test_a_manifest_that_was_spoilt_is_mended_by_a_push(metadata: SqlMetadata) -> None:
    manifest = manifest_of()
    assert await metadata.put_manifest("a", manifest, ["t"]) == []
    spoil = update(manifest_payloads).values(payload=b"spoilt")
    metadata._database.write(lambda connection: connection.execute(spoil))
    assert await metadata.put_manifest("a", manifest, ["t"]) == []
    found = await metadata.manifest("a", "t")
    assert found is not None and found.payload == manifest.payload
