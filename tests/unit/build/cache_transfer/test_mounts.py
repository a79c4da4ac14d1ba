"""Cache mounts that travel along: everything at first, and then only what is new."""

import json
import os
from pathlib import Path

import pytest

from corten.build.cache_transfer.exporter import CacheExporter
from corten.build.cache_transfer.mount_import import MountImport
from corten.build.cache_transfer.options import parse_imports
from corten.build.context.stat_cache import StatCache
from corten.build.graph import CacheMount, Vertex
from corten.build.solve.protocols import MountFiller
from tests.unit.build.cache_transfer.machine import Machine, cache, tree_of
from tests.unit.build.cache_transfer.test_transfer import machines
from tests.unit.build.solve.world import run

MOUNT_TYPES = "application/vnd.corten.build.cache.mount."


def building(machine: Machine, *ids: str) -> Vertex:
    return run(machine.base, "a", mounts=tuple(CacheMount(name, f"/{name}") for name in ids or ("pip",)))


def fill(root: Path, count: int = 20) -> None:
    (root / "http").mkdir(mode=0o750)
    for number in range(count):
        path = root / "http" / f"{number:03}"
        path.write_bytes(os.urandom(2000))
        os.utime(path, ns=(number, 1_600_000_000_123_456_789 + number))
    (root / "empty").write_bytes(b"")
    (root / "link").symlink_to("http/000")
    os.link(root / "http" / "001", root / "again")
    (root / "copy").write_bytes((root / "http" / "002").read_bytes())
    (root / "tool").write_bytes(b"#!")
    (root / "tool").chmod(0o755)
    os.utime(root / "http", (1, 1))
    os.utime(root, (2, 2))


async def export(machine: Machine, target: Vertex, reference: str, **more: str) -> None:
    with await machine.run_build(target) as results:
        to = cache("registry", ref=reference, mounts="true", **more)
        await machine.export_cache(target, results, to)


async def filler(machine: Machine, reference: str) -> MountFiller | None:
    source = parse_imports([cache("registry", ref=reference)])
    return (await machine.importer().load(source, [], machine.real_images.layers)).mounts


def packs(fake) -> list[tuple[str, int]]:  # type: ignore[no-untyped-def]
    manifest = json.loads(fake.manifests["cache"][1])
    return [
        (layer["digest"], layer["size"])
        for layer in manifest["layers"]
        if layer["mediaType"] == MOUNT_TYPES + "v1.tar+zstd"
    ]


async def test_there_and_back(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            fill(path)
        await export(one, building(one), reference)
        async with one.mount("pip") as path:
            expected = tree_of(path)
        fake.log.clear()
        imported = await filler(other, reference)
        assert fake.count("GET", "/blobs/") == 1  # the document: no mount before a step has it
        async with other.mount("pip", imported) as path:
            assert tree_of(path) == expected
            assert (path / "again").stat().st_ino == (path / "http" / "001").stat().st_ino
            assert (path / "copy").stat().st_ino != (path / "http" / "002").stat().st_ino
        async with other.mount("else", imported) as path:
            assert list(path.iterdir()) == []
        assert other.notes == []


async def test_only_what_is_new_travels(tmp_path: Path) -> None:
    async with machines(tmp_path, 3) as (fake, (one, other, third)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            fill(path)
        await export(one, building(one), reference)
        (first,) = packs(fake)
        # On another machine: a file more, one less, one touched, one renamed.
        async with other.mount("pip", await filler(other, reference)) as path:
            (path / "http" / "new").write_bytes(os.urandom(3000))
            (path / "http" / "003").unlink()
            os.utime(path / "http" / "004", (5, 5))
            (path / "http" / "005").rename(path / "moved")
            expected = tree_of(path)
        uploads = fake.count("PUT", "/uploads/")
        await export(other, building(other), reference)
        again, second = packs(fake)
        assert again == first and second[1] < 3500
        # The new pack, the index of the mount and the document; layers and config did not change.
        assert fake.count("PUT", "/uploads/") == uploads + 3
        async with third.mount("pip", await filler(third, reference)) as path:
            assert tree_of(path) == expected
        # Nothing is new: not even the manifest.
        manifest = fake.manifests["cache"]
        await export(other, building(other), reference)
        assert fake.manifests["cache"] == manifest
        assert fake.count("PUT", "/uploads/") == uploads + 3


async def test_packs_that_are_mostly_dead_are_left_out(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            fill(path)
        await export(one, building(one), reference)
        (first,) = packs(fake)
        async with one.mount("pip") as path:
            for number in range(2, 18):
                (path / "http" / f"{number:03}").unlink()
            expected = tree_of(path)
        await export(one, building(one), reference)
        (second,) = packs(fake)
        assert second != first and second[1] < first[1] // 2
        async with other.mount("pip", await filler(other, reference)) as path:
            assert tree_of(path) == expected


async def test_many_small_packs_become_few(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        most = 0
        for number in range(20):
            async with one.mount("pip") as path:
                (path / f"{number}").write_bytes(os.urandom(100))
                expected = tree_of(path)
            await export(one, building(one), reference)
            most = max(most, len(packs(fake)))
        assert most == 17 and len(packs(fake)) < 13
        async with other.mount("pip", await filler(other, reference)) as path:
            assert tree_of(path) == expected


async def test_a_mount_that_is_not_here_stays_where_it_is(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        for name in ("pip", "apt"):
            async with one.mount(name) as path:
                (path / name).write_bytes(os.urandom(1000))
        await export(one, building(one, "pip", "apt"), reference)
        before = packs(fake)
        async with other.mount("apt", await filler(other, reference)) as path:
            (path / "more").write_bytes(b"more")
        await export(other, building(other, "pip", "apt"), reference)
        assert set(before) < set(packs(fake))
        # A mount that no step has any more goes.
        await export(other, building(other, "apt"), reference)
        assert before[0] not in packs(fake) and before[1] in packs(fake)


async def test_made_anew_when_the_place_has_lost_something(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            fill(path)
            expected = tree_of(path)
        await export(one, building(one), reference)
        del fake.blobs[packs(fake)[0][0]]
        await export(one, building(one), reference)
        async with other.mount("pip", await filler(other, reference)) as path:
            assert tree_of(path) == expected


async def test_a_local_mount_is_left_as_it_is(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            (path / "a").write_bytes(b"theirs")
        await export(one, building(one), reference)
        async with other.mount("pip") as path:
            (path / "a").write_bytes(b"ours")
        async with other.mount("pip", await filler(other, reference)) as path:
            assert (path / "a").read_bytes() == b"ours"


async def test_what_cannot_be_had_is_no_failure(tmp_path: Path) -> None:
    async with machines(tmp_path) as (fake, (one, other)):
        reference = f"{fake.host}/app:cache"
        async with one.mount("pip") as path:
            fill(path)
        await export(one, building(one), reference)
        (digest, size) = packs(fake)[0]
        fake.blobs[digest] = bytes(size)
        async with other.mount("pip", await filler(other, reference)) as path:
            assert list(path.iterdir()) == []
        assert len(other.notes) == 1 and "begins empty" in other.notes[0]


async def test_through_a_directory(tmp_path: Path) -> None:
    async with machines(tmp_path) as (_fake, (one, other)):
        directory = tmp_path / "cache"
        directory.mkdir()
        async with one.mount("pip") as path:
            fill(path)
            expected = tree_of(path)
        for _ in range(2):
            target = building(one)
            with await one.run_build(target) as results:
                to = cache("local", dest=str(directory), mounts="true")
                await one.export_cache(target, results, to)
        assert len(list(directory.glob("blobs/sha256/*"))) == 5
        importer = other.importer()
        sources = parse_imports([cache("local", src=str(directory))])
        imported = await importer.load(sources, [], other.real_images.layers)
        assert isinstance(imported.mounts, MountImport)
        async with other.mount("pip", imported.mounts) as path:
            assert tree_of(path) == expected
        sources = parse_imports([cache("local", src=str(directory), mounts="false")])
        assert (await importer.load(sources, [], other.real_images.layers)).mounts is None


async def test_known_digests_save_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stat cache tells that nothing has changed: no file of the mount is opened."""
    async with machines(tmp_path, 1) as (fake, (one,)):
        known = StatCache(tmp_path / "stat")
        real = CacheExporter.__init__

        def with_contents(self: CacheExporter, *arguments: object, **more: object) -> None:
            real(self, *arguments, **more, contents=known)  # type: ignore[arg-type]

        monkeypatch.setattr(CacheExporter, "__init__", with_contents)
        async with one.mount("pip") as path:
            fill(path)
            monkeypatch.setattr("corten.build.context.stat_cache.is_settled", lambda *_: True)
        await export(one, building(one), f"{fake.host}/app:cache")

        def refuse(*_: object) -> None:
            raise AssertionError("a file was opened")

        monkeypatch.setattr("corten.build.cache_transfer.mount_index.open_regular", refuse)
        await export(one, building(one), f"{fake.host}/app:cache")
        assert len(packs(fake)) == 1
