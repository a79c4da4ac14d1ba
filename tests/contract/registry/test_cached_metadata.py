"""What metadata stores know of copies of upstreams', on SQLite and on PostgreSQL."""

from __future__ import annotations

import time

from corten.registry.metadata.records import Pause, Referrer
from corten.registry.metadata.store import SqlMetadata
from tests.contract.registry.test_metadata import (  # noqa: F401
    HOUR,
    index_of,
    manifest_of,
    metadata,
    postgres,
    push_blob,
    settle,
)
from tests.registry_server import digest_of


async def test_a_copy_may_lack_everything(metadata: SqlMetadata) -> None:  # noqa: F811
    manifest = manifest_of(b"layer")
    assert await metadata.put_cached_manifest("a", manifest, "up", "1", '"e"')
    found = await metadata.manifest("a", "1")
    assert found is not None and found.payload == manifest.payload
    known = await metadata.cached_tag("a", "1")
    assert known is not None and (known.digest, known.etag) == (manifest.digest, '"e"')
    assert await metadata.needed_from_upstream("a", digest_of(b"layer")) == (
        manifest.digest,
        manifest.payload,
    )
    assert await metadata.needed_from_upstream("a", digest_of(b"other")) is None
    assert await metadata.needed_from_upstream("b", digest_of(b"layer")) is None
    await push_blob(metadata, "a", b"layer", grace=0)
    assert await settle(metadata) == []  # the copy needs it


async def test_a_push_takes_over(metadata: SqlMetadata) -> None:  # noqa: F811
    manifest = manifest_of(b"layer")
    await metadata.put_cached_manifest("a", manifest, "up", "1", "")
    assert len(await metadata.put_manifest("a", manifest, ["1"])) == 1  # a push needs its blobs
    assert await metadata.cached_tag("a", "1") is not None
    await push_blob(metadata, "a", b"layer")
    assert await metadata.put_manifest("a", manifest, ["1"]) == []
    assert await metadata.cached_tag("a", "1") is None
    assert await metadata.needed_from_upstream("a", digest_of(b"layer")) is None
    assert await metadata.evict_unused(int(time.time() * 1000) + HOUR, 10) == []
    # Upstream's next version of the tag is stored, but not under the tag.
    other = manifest_of(b"other")
    assert not await metadata.put_cached_manifest("a", other, "up", "1", "")
    found = await metadata.manifest("a", "1")
    assert found is not None and found.digest == manifest.digest
    await metadata.drop_cached_tag("a", "1")
    assert await metadata.manifest("a", "1") is not None


async def test_tags_are_confirmed_and_dropped(metadata: SqlMetadata) -> None:  # noqa: F811
    manifest = manifest_of(b"layer")
    await metadata.put_cached_manifest("a", manifest, "up", "1", "")
    before = await metadata.cached_tag("a", "1")
    time.sleep(0.003)
    await metadata.confirm_cached_tag("a", "1", digest_of(b"another"))
    assert await metadata.cached_tag("a", "1") == before
    await metadata.confirm_cached_tag("a", "1", manifest.digest)
    after = await metadata.cached_tag("a", "1")
    assert before is not None and after is not None and after.checked > before.checked
    await metadata.drop_cached_tag("a", "1")
    assert await metadata.manifest("a", "1") is None
    assert await metadata.manifest("a", manifest.digest) is not None


async def test_the_least_recently_used_goes_first(metadata: SqlMetadata) -> None:  # noqa: F811
    now = int(time.time() * 1000)
    for number, data in enumerate((b"1" * 1000, b"2" * 2000, b"3" * 4000)):
        await push_blob(metadata, "a", data, grace=0)
        await metadata.put_cached_manifest("a", manifest_of(data), "up", str(number), "")
    assert await metadata.cached_bytes() == 7000
    first, second, third = (manifest_of(b"1" * 1000), manifest_of(b"2" * 2000), manifest_of(b"3" * 4000))
    await metadata.note_uses(
        [("a", second.digest, now + 10_000), ("a", first.digest, now + 20_000), ("b", first.digest, 1)]
    )
    await metadata.note_uses([("a", third.digest, now + 30_000)])
    assert await metadata.evict_surplus(7000, now + HOUR, 10) == []
    assert await metadata.evict_surplus(10, now + 10_000, 10) == []  # all of them were used just now
    gone = await metadata.evict_surplus(5500, now + HOUR, 10)
    assert [(entry.digest, entry.size) for entry in gone] == [(second.digest, 2000)]
    assert await metadata.manifest("a", "1") is None
    assert await settle(metadata) == [digest_of(b"2" * 2000)]
    assert [entry.digest for entry in await metadata.evict_unused(now + 25_000, 10)] == [first.digest]
    assert await metadata.cached_bytes() == 4000


async def test_what_was_pushed_stays(metadata: SqlMetadata) -> None:  # noqa: F811
    """Also what an index needs that was pushed; and blobs that it shares count for nothing."""
    later = int(time.time() * 1000) + HOUR
    for data in (b"shared", b"copied"):
        await push_blob(metadata, "a", data, grace=0)
    child = manifest_of(b"shared")
    await metadata.put_cached_manifest("a", child, "up", "", "")
    copied = manifest_of(b"copied", b"shared")
    await metadata.put_cached_manifest("a", copied, "up", "1", "")
    assert await metadata.put_manifest("a", index_of(child), ["mine"]) == []
    assert await metadata.mount_blob("b", digest_of(b"shared"), "a", 0) is not None
    assert await metadata.put_manifest("b", manifest_of(b"shared", note="b"), ["1"]) == []
    assert await metadata.cached_bytes() == len(b"copied")
    gone = await metadata.evict_unused(later, 10)
    assert [(entry.digest, entry.size) for entry in gone] == [(copied.digest, len(b"copied"))]
    assert await settle(metadata) == [digest_of(b"copied")]
    assert await metadata.manifest("a", child.digest) is not None


async def test_what_upstream_says_of_referrers(metadata: SqlMetadata) -> None:  # noqa: F811
    """It is kept as long as its subject is here, and what is a copy here is told from what was pushed."""
    subject = manifest_of(b"layer")
    found = [Referrer(digest_of(b"one"), "a/b", "c/d", 3, '{"e":"f"}')]
    await metadata.put_cached_referrers("a", subject.digest, found)
    assert await metadata.cached_referrers("a", subject.digest) is None
    await metadata.put_cached_manifest("a", subject, "up", "1", "")
    await metadata.put_cached_referrers("a", subject.digest, found)
    known = await metadata.cached_referrers("a", subject.digest)
    assert known is not None and known.found == tuple(found)
    await metadata.put_cached_referrers("a", subject.digest, [])
    again = await metadata.cached_referrers("a", subject.digest)
    assert again is not None and again.found == () and again.checked >= known.checked
    assert await metadata.cached_referrers("b", subject.digest) is None
    for name in ("copied", "pushed"):
        referrer = manifest_of(note=name, subject=subject.digest)
        if name == "copied":
            await metadata.put_cached_manifest("a", referrer, "up", "", "")
        else:
            assert await metadata.put_manifest("a", referrer, []) == []
        assert await metadata.was_pushed("a", referrer.digest) == (name == "pushed")
    assert {one.is_copy for one in await metadata.referrers("a", subject.digest)} == {True, False}
    assert not await metadata.was_pushed("a", subject.digest)
    await metadata.delete_manifest("a", subject.digest)
    assert await metadata.cached_referrers("a", subject.digest) is None


async def test_an_instance_has_one_name(metadata: SqlMetadata) -> None:  # noqa: F811
    assert await metadata.instance_name("one") == "one"
    assert await metadata.instance_name("two") == "one"


async def test_pauses(metadata: SqlMetadata) -> None:  # noqa: F811
    later = int(time.time() * 1000) + HOUR
    await metadata.pause("up", Pause("all", later, "slower"))
    await metadata.pause("up", Pause("all", later - 1000, "sooner"))
    await metadata.pause("up", Pause("checks", 5, "over"))
    assert await metadata.pauses("up") == [Pause("all", later, "slower")]
    assert await metadata.pauses("down") == []


async def test_leases_tell_who(metadata: SqlMetadata) -> None:  # noqa: F811
    assert await metadata.lease("x") is None
    assert await metadata.take_lease("x", "me", 60)
    found = await metadata.lease("x")
    assert found is not None and found[0] == "me" and found[1] > time.time() * 1000
