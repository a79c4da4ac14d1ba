"""Caches in places that keep blobs by digests and manifests by names."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

pytest.importorskip("obstore")

from corten.build.cache_transfer.keyed_manifest import decode_keyed, encode_keyed
from corten.errors import IntegrityError, Unavailable
from tests.unit.build.cache_transfer.machine import Machine, cache, tree_of
from tests.unit.build.cache_transfer.memory_store import MemoryStore, MemoryStores
from tests.unit.build.cache_transfer.test_mounts import building, fill
from tests.unit.build.cache_transfer.test_transfer import application, files_of
from tests.unit.build.export.builds import output
from tests.unit.build.solve.world import run

TO = {"bucket": "b", "region": "r"}


@contextlib.asynccontextmanager
async def machines(root: Path, count: int = 2) -> AsyncIterator[tuple[MemoryStore, list[Machine]]]:
    store = MemoryStore()
    made = []
    try:
        for number in range(count):
            machine = Machine(root / f"machine{number}", keyed=MemoryStores(store))
            made.append(machine)
        yield store, made
    finally:
        for machine in made:
            await machine.close()


def uploads(store: MemoryStore) -> int:
    return sum(line.startswith("upload") for line in store.log)


def downloads(store: MemoryStore) -> int:
    return sum(line.startswith("download") for line in store.log)


async def test_nothing_runs_on_the_other_machine(tmp_path: Path) -> None:
    async with machines(tmp_path) as (store, (one, other)):
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("s3", **TO))
            expected = files_of(one, target, results)
        assert len(store.blobs) == 2  # of the final stage; the document is in the manifest
        store.log.clear()
        target = application(other)
        with await other.run_build(target, cache("s3", **TO)) as results:
            assert other.ran_commands == [] and store.log == ["manifests"]
            await other.export_cache(target, results, outputs=[output("image")], tags=["app"])
            assert downloads(store) == 2
            await other.real_images.fetch(results.result(target).layers, lambda *status: None)
            assert files_of(other, target, results) == expected


async def test_only_what_is_new_travels(tmp_path: Path) -> None:
    async with machines(tmp_path) as (store, (one, other)):
        to, source = cache("s3", mode="max", **TO), cache("s3", **TO)
        target = application(one)
        with await one.run_build(target, source) as results:
            await one.export_cache(target, results, to)
        assert one.notes == ["there is no build cache memory yet"]
        assert uploads(store) == 4
        target = application(other, "2")
        with await other.run_build(target, source) as results:
            assert other.ran_commands == ["make2", "install"]
            await other.export_cache(target, results, to)
        # What "configure" and "install" make is there already; only what "make2" runs upon has come.
        assert uploads(store) == 4 + 2 and downloads(store) == 1


async def test_cache_mounts(tmp_path: Path) -> None:
    async with machines(tmp_path) as (store, (one, other)):
        async with one.mount("pip") as path:
            fill(path)
        target = building(one)
        for _ in range(2):
            with await one.run_build(target) as results:
                await one.export_cache(target, results, cache("s3", mounts="true", **TO))
        async with one.mount("pip") as path:
            expected = tree_of(path)
        assert len(set(store.blobs)) == uploads(store)
        with await other.run_build(building(other), cache("s3", **TO)):
            async with other.mount("pip", other.imported.mounts) as path:
                assert tree_of(path) == expected


async def test_a_lost_layer(tmp_path: Path) -> None:
    """A bucket forgets by age: what is gone is told as lost, so that it is built again."""
    from corten.build.solve.failure import LayersLost

    async with machines(tmp_path) as (store, (one, other)):
        target = run(one.base, "a")
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("s3", **TO))
        store.blobs.clear()
        target = run(other.base, "a")
        with await other.run_build(target, cache("s3", **TO)) as results, pytest.raises(LayersLost):
            await other.export_cache(target, results, outputs=[output("image")], tags=["app"])


async def test_a_cache_that_this_build_does_not_have(tmp_path: Path) -> None:
    """What an earlier build has imported may be asked for later, without its --cache-from."""
    from corten.errors import NotFound

    with pytest.raises(NotFound, match="not given by --cache-from"):
        MemoryStores(MemoryStore()).fetch("cache:memory")


async def test_buildkit_keeps_what_it_has(tmp_path: Path) -> None:
    theirs = {"layers": [{"blob": "sha256:x", "annotations": {"size": 1}}], "records": [{"digest": "y"}]}
    async with machines(tmp_path, 1) as (store, (one,)):
        store.named = json.dumps(theirs).encode()
        target = run(one.base, "a")
        with await one.run_build(target, cache("s3", **TO)) as results:
            assert one.notes == ["there is no build cache memory yet"]
            await one.export_cache(target, results, cache("s3", **TO))
        written = json.loads(store.named)
        assert {key: written[key] for key in theirs} == theirs
        assert set(written) == {*theirs, "vnd.corten.build.cache.v1"}


async def test_it_takes_too_long(tmp_path: Path) -> None:
    async with machines(tmp_path, 1) as (store, (one,)):
        store.seconds = 0.05

        async def stuck(change: Callable[[bytes | None], bytes]) -> None:
            await asyncio.sleep(60)

        store.write_manifests = stuck  # type: ignore[method-assign]
        target = run(one.base, "a")
        with (
            await one.run_build(target) as results,
            pytest.raises(Unavailable, match=r"took longer than its timeout of 0\.05 s"),
        ):
            await one.export_cache(target, results, cache("s3", **TO))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"vnd.corten.build.cache.v1": 1}',
        b'{"vnd.corten.build.cache.v1": {"manifest": {}}}',
    ],
    ids=["empty", "list", "no text", "number", "no document"],
)
def test_hostile_manifests(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_keyed(data)
    manifest = b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:%s","size":2},"layers":[]}'
    document = encode_keyed(manifest % (b"0" * 64), b"{}", data)
    with pytest.raises(IntegrityError, match="another digest"):
        decode_keyed(document)
