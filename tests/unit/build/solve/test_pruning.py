"""What the cache holds, what goes, and what never does."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from corten.build.graph import Vertex
from corten.build.solve.cache_mounts import CacheMounts, WantedMount
from corten.build.solve.pruning import CacheItem, PruneOptions, Pruner
from corten.image.tables import ImageRow
from corten.oci.digest import sha256_of
from tests.unit.build.solve.world import World, copy, run

pytestmark = pytest.mark.root  # views of layers are mounts
HOUR = 3600 * 10**9


@pytest.fixture
def pruner(world: World, tmp_path: Path, loop_runner: object) -> Pruner:
    world.mounts = CacheMounts(tmp_path / "mounts", world.database)  # type: ignore[attr-defined]
    return Pruner(
        world.database,
        world.solver.records,
        world.layers,
        world.mounts,  # type: ignore[attr-defined]
        world.store.registrar,
    )


async def build(world: World, *targets: Vertex) -> None:
    (await world.build(*targets)).results.close()


def age(world: World, name: str, hours: int) -> None:
    """The record was used so long ago."""
    world.database.all("UPDATE records SET used = ? WHERE name = ?", (time.time_ns() - hours * HOUR, name))


def names(items: list[CacheItem]) -> set[str]:
    return {item.description for item in items}


async def test_usage(world: World, base: Vertex, pruner: Pruner) -> None:
    await build(world, run(run(base, "one"), "two"))
    await build(world, run(run(base, "one"), "two"))
    items = {item.description: item for item in await pruner.usage()}
    assert items.keys() == {"RUN one", "RUN two"}
    assert items["RUN two"].parents == (items["RUN one"].id,)
    assert items["RUN two"].uses == 2
    assert items["RUN two"].size >= len("two")
    assert not items["RUN two"].in_use
    built = await world.build(run(run(base, "one"), "two"))
    assert all(item.in_use for item in await pruner.usage())
    built.results.close()


async def test_everything_goes(world: World, base: Vertex, pruner: Pruner) -> None:
    await build(world, run(run(base, "one"), "two"), run(run(base, "one"), "three"))
    pruned = await pruner.prune(PruneOptions())
    assert len(pruned.ids) == 3
    assert pruned.freed > 0
    assert await pruner.usage() == []
    assert list(world.layers._own.walk()) == []
    assert list(world.store.snapshotter.walk()) == []
    world.executor.ran.clear()
    await build(world, run(run(base, "one"), "two"))
    assert world.executor.ran == ["one", "two"]


async def test_what_a_build_uses_stays(world: World, base: Vertex, pruner: Pruner) -> None:
    built = await world.build(run(run(base, "one"), "two"))
    assert (await pruner.prune(PruneOptions(all=True))).ids == ()
    target = list(built.results.items())[-1][0]
    assert world.files(built.results.result(target)).keys() == {"bin/sh", "one", "two"}
    built.results.close()


async def test_old_ones_go_from_the_leaves(world: World, base: Vertex, pruner: Pruner) -> None:
    await build(world, run(run(base, "one"), "two"), run(run(base, "one"), "three"))
    age(world, "RUN one", 30)
    age(world, "RUN two", 30)
    await pruner.prune(PruneOptions(unused_since=time.time_ns() - 24 * HOUR))
    # "one" is as old, but "three" is built upon it.
    assert names(await pruner.usage()) == {"RUN one", "RUN three"}
    age(world, "RUN three", 30)
    await pruner.prune(PruneOptions(unused_since=time.time_ns() - 24 * HOUR))
    assert await pruner.usage() == []


async def test_limits(world: World, base: Vertex, pruner: Pruner) -> None:
    for hours, name in ((1, "x" * 1000), (2, "y" * 1000), (3, "z" * 1000)):
        await build(world, run(base, name[:100]))
        world.database.all(
            "UPDATE layers SET size = 1000"
            " WHERE id = (SELECT substr(chain, -64) FROM records WHERE name = ?)",
            (f"RUN {name[:100]}",),
        )
        age(world, f"RUN {name[:100]}", hours)
    total = sum(item.size for item in await pruner.usage())
    assert (await pruner.prune(PruneOptions(all=True, most=total))).ids == ()
    assert len((await pruner.prune(PruneOptions(all=True, most=total - 1))).ids) == 1
    assert {item.description[4] for item in await pruner.usage()} == {"x", "y"}
    assert len((await pruner.prune(PruneOptions(all=True, least=1500))).ids) == 1
    assert {item.description[4] for item in await pruner.usage()} == {"x"}
    assert (await pruner.prune(PruneOptions(all=True, free=1))).ids == ()
    assert len((await pruner.prune(PruneOptions(all=True, free=1 << 62))).ids) == 1


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (PruneOptions(descriptions=("^RUN o",)), {"RUN two", "cache mount pip"}),
        (PruneOptions(types=("exec.cachemount",), all=True), {"RUN one", "RUN two"}),
        (PruneOptions(types=("exec.cachemount",)), {"RUN one", "RUN two", "cache mount pip"}),
        (PruneOptions(shared=True, all=True), {"RUN one", "RUN two", "cache mount pip"}),
        (PruneOptions(ids=("nothing",)), {"RUN one", "RUN two", "cache mount pip"}),
    ],
)
async def test_filters(
    world: World, base: Vertex, pruner: Pruner, options: PruneOptions, left: set[str]
) -> None:
    await build(world, run(base, "one"), run(base, "two"))
    async with world.mounts.hold([WantedMount("pip")]) as (path,):  # type: ignore[attr-defined]
        (path / "wheel").write_text("x" * 5000)
    await pruner.prune(options)
    assert names(await pruner.usage()) == left


async def test_a_cache_mount_that_is_used_stays(world: World, pruner: Pruner) -> None:
    async with world.mounts.hold([WantedMount("pip")]) as (path,):  # type: ignore[attr-defined]
        (path / "wheel").write_text("x")
        assert (await pruner.prune(PruneOptions(all=True))).ids == ()
        assert (path / "wheel").exists()
    assert len((await pruner.prune(PruneOptions(all=True))).ids) == 1
    assert not path.exists()


async def test_what_images_share(world: World, base: Vertex, pruner: Pruner) -> None:
    built = await world.build(run(run(base, "one"), "two"))
    target = list(built.results.items())[-1][0]
    chain = publish(world, target, built.results.result(target).layers)
    built.results.close()
    items = {item.description: item for item in await pruner.usage()}
    assert items["RUN one"].shared
    assert items["RUN two"].shared
    assert items["RUN two"].size == len("two")
    # Without --all they stay; with it the records go, and the image keeps its layers.
    assert (await pruner.prune(PruneOptions())).ids == ()
    pruned = await pruner.prune(PruneOptions(all=True))
    assert (len(pruned.ids), pruned.freed) == (2, 0)
    assert set(world.store.snapshotter.walk()) == set(chain)
    assert {path.name for path in world.layers.root.iterdir()} == {".empty", ".staging"}


async def test_records_keep_what_images_had(world: World, base: Vertex, pruner: Pruner) -> None:
    built = await world.build(run(base, "one"))
    target = list(built.results.items())[-1][0]
    publish(world, target, built.results.result(target).layers)
    built.results.close()
    world.store.registrar.tables.delete_image("sha256:" + "0" * 64)
    world.store.registrar.collect()
    built = await world.build(run(base, "one"))
    assert built.ran == []
    assert world.files(built.results.result(list(built.results.items())[-1][0])).keys() == {"bin/sh", "one"}
    built.results.close()
    await pruner.prune(PruneOptions(all=True))
    assert list(world.store.snapshotter.walk()) == []


async def test_the_same_layer_of_two_records(world: World, base: Vertex, pruner: Pruner) -> None:
    """A stage that copies from another one holds nothing of it."""
    await build(world, copy(base, run(base, "make", stage="build"), "make", "/make"))
    age(world, "RUN make", 30)
    await pruner.prune(PruneOptions(unused_since=time.time_ns() - 24 * HOUR))
    assert names(await pruner.usage()) == {"COPY make /make"}
    world.executor.ran.clear()
    await build(world, copy(base, run(base, "make", stage="build"), "make", "/make"))
    assert world.executor.ran == []


def publish(world: World, target: Vertex, layers: object) -> tuple[str, ...]:
    """Makes an image of it, as an exporter does; the chain IDs."""
    named = []
    for layer in layers:  # type: ignore[attr-defined]
        if layer.is_made_here:
            digest = sha256_of(layer.id.encode())
            world.database.all("UPDATE layers SET diff_id = ? WHERE id = ?", (digest, layer.id))
            layer = world.layers.describe(layer)
        named.append(layer)
    chain = world.layers.publish(named)
    world.store.registrar.tables.add_image(
        ImageRow(
            id="sha256:" + "0" * 64,
            manifest=msgspec.json.encode({"mediaType": "x", "digest": "sha256:" + "1" * 64, "size": 1}),
            layers=b"[]",
            config=b"{}",
            chain=" ".join(chain),
            size=1,
            created=1,
        )
    )
    return chain
