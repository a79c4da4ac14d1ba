"""What the page finds in the metadata, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from corten.registry.metadata.browser import Browser
from corten.registry.metadata.browsing_records import Facts
from corten.registry.metadata.database import Database
from corten.registry.metadata.records import NewManifest, Reference
from corten.registry.metadata.store import SqlMetadata
from tests.contract.registry.test_metadata import index_of, manifest_of, push_blob
from tests.registry_server import digest_of
from tests.registry_stores import PostgresServer, postgres_server

FIRST = (0, "")


class Store:
    """A database, pushed to by the registry and looked at by the page."""

    def __init__(self, url: str) -> None:
        database = Database(url)
        database.migrate()
        self.metadata = SqlMetadata(database)
        self.browser = Browser(Database(url))

    async def push(
        self, repository: str, *blobs: bytes, tags: tuple[str, ...] = (), note: str = "", subject: str = ""
    ) -> NewManifest:
        for data in blobs:
            await push_blob(self.metadata, repository, data)
        manifest = manifest_of(*blobs, note=note, subject=subject)
        assert await self.metadata.put_manifest(repository, manifest, tags) == []
        return manifest

    async def describe(self, manifest: NewManifest, words: str = "", **facts: str) -> None:
        await self.browser.put_facts(
            [Facts(manifest.digest, words=words, **facts)],
            [manifest.digest],  # type: ignore[arg-type]
        )

    async def found(self, *words: str, after: tuple[int, str] = FIRST, limit: int = 10) -> list[str]:
        return [entry.name for entry in await self.browser.found_repositories(words, after, limit)]

    async def close(self) -> None:
        await self.metadata.close()
        await self.browser.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    yield from postgres_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, loop_runner: asyncio.Runner) -> Iterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        url = request.getfixturevalue("postgres").new_database()
    found = Store(url)
    yield found
    loop_runner.run(found.close())


async def test_nothing_is_there(store: Store) -> None:
    browser = store.browser
    assert await store.found() == await store.found("x") == []
    assert await browser.repository_details([]) == await browser.repository_details(["a"]) == {}
    assert await browser.tag_rows("a", "", None, 10) == []
    assert await browser.manifest_row("a", "sha256:x") is None
    assert await browser.digest_of_tag("a", "t") is None
    assert not await browser.has_manifests("a")
    assert await browser.undescribed(10) == []


async def test_search_finds_names_first_and_then_what_images_say(store: Store) -> None:
    for name in ("team/redis", "team/cache", "other/redis-tools", "plain"):
        manifest = await store.push(name, name.encode(), tags=("1",))
        await store.describe(manifest, words="title=a redis for everybody" if name == "team/cache" else "a=b")
    assert await store.found() == ["other/redis-tools", "plain", "team/cache", "team/redis"]
    assert await store.found("redis") == ["other/redis-tools", "team/redis", "team/cache"]
    assert await store.found("redis", "team") == ["team/redis", "team/cache"]
    assert await store.found("redis", "everybody") == ["team/cache"]
    assert await store.found("absent") == []
    assert await store.browser.matching_words(["team/cache", "plain"], ["redis"], 10) == [
        ("team/cache", "title=a redis for everybody")
    ]


async def test_search_takes_no_word_for_a_pattern(store: Store) -> None:
    for name, words in (("a", "100% sure"), ("b", "100 sure"), ("c", "back\\slash"), ("d", "un_der")):
        await store.describe(await store.push(name, name.encode()), words=words)
    assert await store.found("100%") == ["a"]
    assert await store.found("\\") == ["c"]
    assert await store.found("n_d") == ["d"]
    assert await store.found("'; drop table tags; --") == []


async def test_a_search_goes_on_behind_what_was_shown(store: Store) -> None:
    for name in ("x1", "x2", "y1", "y2"):
        await store.describe(await store.push(name, name.encode()), words="note=x")
    pages = []
    after = FIRST
    while found := await store.browser.found_repositories(["x"], after, 1):
        pages += found
        after = (found[-1].rank, found[-1].name)
    assert [(entry.name, entry.rank) for entry in pages] == [("x1", 0), ("x2", 0), ("y1", 1), ("y2", 1)]
    assert await store.found(after=(0, "x2")) == ["y1", "y2"]


async def test_details_of_repositories(store: Store) -> None:
    manifest = await store.push("a", b"12345", tags=("old", "new", "sha256-" + "0" * 64 + ".sig"))
    await store.describe(manifest, summary="about it", kind="image")
    untagged = await store.push("b", b"123")
    found = await store.browser.repository_details(["a", "b", "absent"])
    assert set(found) == {"a", "b"}
    assert (found["a"].tags, found["a"].bytes, found["a"].newest) == (3, 5, "old")
    assert (found["a"].summary, found["a"].kind) == ("about it", "image")
    assert (found["b"].tags, found["b"].bytes, found["b"].newest) == (0, 3, "")
    assert min(found["a"].updated, found["b"].updated) > 0
    assert await store.browser.has_manifests("b")
    assert [row.digest for row in await store.browser.untagged_rows("b", 10)] == [untagged.digest]
    assert await store.browser.untagged_rows("a", 10) == []


async def test_tags_in_both_orders_page_by_page(store: Store) -> None:
    for number in range(5):
        await store.push("a", str(number).encode(), tags=(f"v{number}", f"w{number}"))
    for order, wanted in (
        (None, [f"{letter}{number}" for number in reversed(range(5)) for letter in "wv"]),
        ("", sorted(f"{letter}{number}" for letter in "vw" for number in range(5))),
    ):
        names: list[str] = []
        after: tuple[int, str] | str | None = order
        while rows := await store.browser.tag_rows("a", "", after, 3):
            names += [row.name for row in rows]
            after = (rows[-1].updated, rows[-1].name) if order is None else rows[-1].name
        assert names == wanted
    assert [row.name for row in await store.browser.tag_rows("a", "v3", None, 10)] == ["v3"]
    assert await store.browser.tag_count("a") == 10
    assert await store.browser.existing_tags("a", ["v1", "x"]) == ["v1"]


async def test_what_is_pushed_waits_to_be_described_once(store: Store) -> None:
    one = await store.push("a", b"1", tags=("t",))
    await store.push("b", b"1")
    assert await store.browser.undescribed(10) == [one.digest]
    assert await store.browser.undescribed_count() == 1
    payload = (await store.browser.payloads_of([one.digest, "sha256:absent"]))[one.digest]
    assert (payload.media_type, payload.payload) == (one.media_type, one.payload)
    await store.describe(one, kind="image", platforms="linux/amd64")
    assert await store.browser.undescribed_count() == 0
    (row,) = await store.browser.tag_rows("a", "", None, 10)
    assert row.facts is not None and (row.facts.kind, row.facts.platforms) == ("image", "linux/amd64")
    found = await store.browser.manifest_row("b", one.digest)
    assert found is not None and found.payload == one.payload and found.facts == row.facts


async def test_facts_go_with_their_manifest(store: Store) -> None:
    one = await store.push("a", b"1")
    await store.describe(one, words="secret=yes")
    assert await store.metadata.delete_manifest("a", one.digest) == ""
    assert await store.found("secret") == []
    await store.describe(one, words="secret=yes")  # somebody had begun before it was deleted
    assert await store.found("secret") == []
    assert await store.browser.undescribed(10) == []


async def test_indexes_tags_and_referrers(store: Store) -> None:
    child = await store.push("a", b"1")
    index = index_of(child)
    assert await store.metadata.put_manifest("a", index, ["multi"]) == []
    signature = await store.push("a", b"s", note="signature", subject=child.digest)
    browser = store.browser
    assert await browser.tags_of("a", child.digest, 10) == ["multi"]
    assert await browser.tags_of("a", index.digest, 10) == ["multi"]
    assert await browser.indexes_of("a", child.digest, 10) == [index.digest]
    assert [row.digest for row in await browser.referrer_rows("a", [child.digest], 10)] == [signature.digest]
    assert await browser.referrer_rows("b", [child.digest], 10) == []
    assert set(await browser.manifest_rows("a", [child.digest, index.digest, "sha256:x"])) == {
        child.digest,
        index.digest,
    }


async def test_who_else_has_a_layer(store: Store) -> None:
    base = await store.push("base", b"layer", tags=("2", "1"))
    await store.push("app", b"layer", b"more", note="app", tags=("x",))
    child = await store.push("multi", b"layer", b"own", note="child")
    assert await store.metadata.put_manifest("multi", index_of(child), ["all"]) == []
    await store.push("multi", b"layer", note="untagged")
    digest = digest_of(b"layer")
    found = (await store.browser.users_of_blobs([digest], base.digest, 10))[digest]
    assert sorted((name, tag) for name, _manifest, tag in found) == [
        ("app", "x"),
        ("multi", ""),
        ("multi", "all"),
    ]
    assert len((await store.browser.users_of_blobs([digest], "", 2))[digest]) == 2
    everybody = (await store.browser.users_of_blobs([digest], "", 9))[digest]
    assert [tag for name, _manifest, tag in everybody if name == "base"] == ["1"]


async def test_where_blobs_lie(store: Store) -> None:
    await store.push("a", b"12345")
    digest = digest_of(b"12345")
    (location, size) = (await store.browser.blobs_in("a", [digest]))[digest]
    assert size == 5
    assert store.browser.blob_locations_now([digest]) == {digest: (location, 5)}
    assert await store.browser.blobs_in("b", [digest]) == {}


async def test_a_push_is_not_held_up_by_what_nobody_has_described(store: Store) -> None:
    """The same manifest in two repositories, pushed again and again: one entry waits."""
    manifest = manifest_of()
    for _ in range(3):
        for name in ("a", "b"):
            assert await store.metadata.put_manifest(name, manifest, ["t"]) == []
    assert await store.browser.undescribed(10) == [manifest.digest]
    reference = Reference(digest_of(b"absent"), 1)
    refused = NewManifest("sha256:" + "1" * 64, manifest.media_type, b"x", references=(reference,))
    assert await store.metadata.put_manifest("a", refused, ["t"])
    assert await store.browser.undescribed(10) == [manifest.digest]
