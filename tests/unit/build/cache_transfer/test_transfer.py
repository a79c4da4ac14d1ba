"""The cache from one machine to another: keys first, layers when they are used."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corten.build.cache_transfer.document import CACHE_TYPE
from corten.build.graph import Vertex
from corten.errors import CortenError
from tests.unit.build.cache_transfer.machine import Machine, cache
from tests.unit.build.export.builds import output
from tests.unit.build.solve.world import copy, run
from tests.unit.image.images import sha256
from tests.unit.image.registry.fake import FakeRegistry, refused, registries


@contextlib.asynccontextmanager
async def machines(root: Path, count: int = 2) -> AsyncIterator[tuple[FakeRegistry, list[Machine]]]:
    async with FakeRegistry() as fake, registries(root) as known:
        made = [Machine(root / f"machine{number}", known) for number in range(count)]
        try:
            yield fake, made
        finally:
            for machine in made:
                await machine.close()


def application(machine: Machine, change: str = "") -> Vertex:
    """Two stages: something is built, and copied over the base."""
    built = run(run(machine.base, "configure"), f"make{change}")
    return run(copy(machine.base, built, f"/make{change}", "/app/", stage="final"), "install", stage="final")


def files_of(machine: Machine, target: Vertex, results) -> dict[str, str]:  # type: ignore[no-untyped-def]
    return machine.files(results.result(target))


async def test_nothing_runs_on_the_other_machine(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        target = application(one)
        with await one.run_build(target) as results:
            reference = f"{fake.host}/app:cache"
            await one.export_cache(target, results, cache("registry", ref=reference))
            expected = files_of(one, target, results)
        manifest = json.loads(fake.manifests["cache"][1])
        assert manifest["artifactType"] == manifest["config"]["mediaType"] == CACHE_TYPE
        assert len(manifest["layers"]) == 2  # of the final stage, and none of the base

        target = application(other)
        fake.log.clear()
        with await other.run_build(target, cache("registry", ref=reference)) as results:
            assert other.ran_commands == [] and other.writer.written == 0
            assert fake.count("GET", "/blobs/") == 1  # the document: no layer before somebody uses it
            exported = await other.export_cache(target, results, outputs=[output("image")], tags=["app"])
            assert fake.count("GET", "/blobs/") == 3
            assert exported.image_id == other.store.resolve("app").id
            layers = results.result(target).layers
            await other.real_images.fetch(layers, lambda *status: None)
            assert files_of(other, target, results) == expected
            other.end_build()
        # What was used is known from now on.
        with await other.run_build(target):
            assert other.ran_commands == []


async def test_only_what_changed_runs(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=reference, mode="max"))
        assert len(json.loads(fake.manifests["cache"][1])["layers"]) == 4
        target = application(other, "2")
        with await other.run_build(target, cache("registry", ref=reference)):
            assert other.ran_commands == ["make2", "install"]


async def test_min_has_no_layers_of_other_stages(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=reference))
        target = application(other, "2")
        with await other.run_build(target, cache("registry", ref=reference)):
            assert other.ran_commands == ["configure", "make2", "install"]


async def test_what_was_imported_and_not_used_is_forgotten(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=reference, mode="max"))
        with await other.run_build(run(other.base, "else"), cache("registry", ref=reference)):
            other.end_build()
        with await other.run_build(application(other)):
            assert other.ran_commands == ["else", "configure", "make", "install"]


async def test_layers_that_never_came_are_not_counted_on(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=reference))
        with await other.run_build(application(other), cache("registry", ref=reference)):
            assert other.ran_commands == []
            other.end_build()
        fake.blobs.clear()
        with await other.run_build(application(other)):
            assert other.ran_commands == ["configure", "make", "install"]


async def test_through_a_directory_incrementally(tmp_path: Path) -> None:
    async with machines(tmp_path, 3) as (_fake, (one, other, third)):
        directory = tmp_path / "cache"
        directory.mkdir()
        place = cache("local", dest=str(directory), mode="max")
        source = cache("local", src=str(directory))
        target = application(one)
        with await one.run_build(target, source) as results:
            await one.export_cache(target, results, place)
        assert one.notes == [f"there is no build cache {directory} yet"]
        before = {path: path.stat().st_mtime_ns for path in directory.glob("blobs/sha256/*")}
        assert len(before) == 6
        target = application(other, "2")
        with await other.run_build(target, source) as results:
            assert other.ran_commands == ["make2", "install"]
            await other.export_cache(target, results, place)
        after = {path: path.stat().st_mtime_ns for path in directory.glob("blobs/sha256/*")}
        assert before.items() <= after.items()
        # Both layers are of other copies now; the first step's layer stayed where it was.
        with await third.run_build(application(third, "2"), source):
            assert third.ran_commands == []


async def test_inline(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        name = f"{fake.host}/app:1"
        target = application(one)
        with await one.run_build(target) as results:
            plain = await one.export_cache(target, results, outputs=[output("image")], tags=["plain"])
            inline = await one.export_cache(
                target, results, cache("inline"), outputs=[output("registry")], tags=[name]
            )
        assert inline.image_id == plain.image_id
        target = application(other)
        with await other.run_build(target, cache("registry", ref=name)) as results:
            assert other.ran_commands == [] and other.notes == []
            again = await other.export_cache(target, results, outputs=[output("image")], tags=["app"])
        assert again.image_id == inline.image_id


async def test_an_image_without_a_cache(tmp_path: Path) -> None:
    async with machines(tmp_path, 1) as (fake, (one,)):
        fake.add_image([b""], "1")
        with await one.run_build(run(one.base, "a"), cache("registry", ref=f"{fake.host}/app:1")):
            assert one.ran_commands == ["a"]
        assert one.notes == [
            f"{fake.host}/app:1 brings no build cache along: it was not built with --cache-to type=inline"
        ]


async def test_another_base_makes_it_useless(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        target = run(one.base, "a")
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=reference))
        target = run(None, "a")
        with await other.run_build(target, cache("registry", ref=reference)):
            assert other.ran_commands == ["a"]


async def test_exported_again_from_an_import(tmp_path: Path) -> None:
    """Layers that are still in the first registry are mounted, or brought."""
    async with machines(tmp_path, 3) as (fake, (one, other, third)):
        target = application(one)
        with await one.run_build(target) as results:
            await one.export_cache(target, results, cache("registry", ref=f"{fake.host}/one:cache"))
        target = application(other)
        with await other.run_build(target, cache("registry", ref=f"{fake.host}/one:cache")) as results:
            await other.export_cache(target, results, cache("registry", ref=f"{fake.host}/two:cache2"))
        assert fake.manifests["cache"][1] == fake.manifests["cache2"][1]
        target = application(third)
        with await third.run_build(target, cache("registry", ref=f"{fake.host}/two:cache2")):
            assert third.ran_commands == []


async def test_the_same_cache_twice_is_the_same_bytes(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, both):
        for number, machine in enumerate(both):
            target = application(machine)
            with await machine.run_build(target) as results:
                reference = f"{fake.host}/app:{number}"
                await machine.export_cache(target, results, cache("registry", ref=reference, mode="max"))
        assert sha256(fake.manifests["0"][1]) == sha256(fake.manifests["1"][1])


async def test_a_registry_that_refuses(tmp_path: Path) -> None:
    async with machines(tmp_path, 1) as (fake, (one,)):

        async def hook(request):  # type: ignore[no-untyped-def]
            return refused(403, "DENIED")

        fake.hook = hook
        target = run(one.base, "a")
        reference = f"{fake.host}/app:cache"
        with await one.run_build(target, cache("registry", ref=reference)) as results:
            assert one.ran_commands == ["a"]
            assert len(one.notes) == 1 and "is not used: cannot pull" in one.notes[0]
            await one.export_cache(target, results, cache("registry", ref=reference, ignore_error="true"))
            assert len(one.notes) == 2 and "was not exported: cannot" in one.notes[1]
            with pytest.raises(CortenError, match="may not do that"):
                await one.export_cache(target, results, cache("registry", ref=reference))
