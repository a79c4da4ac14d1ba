"""What a check finds, and what it repairs: with layers as directories and as EROFS images."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import Unsupported
from corten.image.fsck import Checker, ContainerUse, Problem, Step
from corten.image.store import ImageStore
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.image.images import docker_archive, load, make_store
from tests.unit.snapshot.archives import member, tar_of

LAYERS = [
    tar_of([member("etc/a", b"below" * 1000), member("deep/er/b", b"b")]),
    tar_of([member("etc/.wh.a", b""), member("deep/er/c", b"c" * 5000)]),
]


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ImageStore]:
    form = getattr(request, "param", "overlay")
    store = make_store(tmp_path / "root")
    if form != "overlay":
        if os.geteuid():
            pytest.skip("mounting EROFS images needs root")
        try:
            made = ErofsSnapshotter(store.snapshotter.root, in_tar=form == "erofs-tar")
        except Unsupported as error:
            pytest.skip(str(error))
        store.snapshotter = store.registrar.snapshotter = made
    load(store, docker_archive(LAYERS))
    yield store
    store.close()


every_form = pytest.mark.parametrize("store", ["overlay", "erofs", "erofs-tar"], indirect=True)


def check(store: ImageStore, *, repair: bool = False, uses: tuple[ContainerUse, ...] = ()) -> list[Problem]:
    """All stages, but for what needs a registry."""
    told: list[Step | Problem] = []
    assert isinstance(store.snapshotter, OverlaySnapshotter)
    checker = Checker(store, store.snapshotter, told.append, repair=repair, stale_seconds=60)
    for problem, need in checker.blobs():
        if repair:
            checker.mend_blob(problem, need)
        told.append(problem)
    checker.references(uses)
    checker.layers(uses)
    checker.leftovers([])
    assert checker.checked >= 4
    return [item for item in told if isinstance(item, Problem)]


def damage(path: Path, offset: int = 4) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0xFF]))


def form(store: ImageStore, chain_id: str) -> Path:
    """A file of the layer."""
    directory = store.snapshotter.directory(chain_id)
    image = directory / "layer.erofs"
    return image if image.exists() else directory / "fs/deep/er/c"


@every_form
def test_all_is_well(store: ImageStore) -> None:
    assert check(store) == []
    assert not list(store.snapshotter.staging.iterdir())


@every_form
def test_a_damaged_layer_is_made_again(store: ImageStore) -> None:
    (image,) = store.list()
    path = form(store, image.chain[1])
    damage(path, path.stat().st_size - 10)
    (found,) = check(store)
    assert (found.kind, found.subject, found.repaired) == ("layer", image.chain[1], "")
    assert "differs from what its blob gives at byte" in found.problem
    (found,) = check(store, repair=True)
    assert found.repaired
    assert check(store) == []


def test_directories_are_compared_in_everything(store: ImageStore) -> None:
    (image,) = store.list()
    root = store.snapshotter.directory(image.chain[1]) / "fs"
    file = root / "deep/er/c"
    status = file.stat()
    changes = {
        "mode": lambda: file.chmod(0o600),
        "time": lambda: os.utime(file, ns=(1, 1)),
        "does not belong there": lambda: (root / "deep/new").write_text("x"),
        "is missing": file.unlink,
        "extended attributes": lambda: os.setxattr(file, "user.x", b"1"),
    }
    for said, change in changes.items():
        change()
        (found,) = check(store, repair=True)
        assert said in found.problem and found.repaired, (said, found)
        assert file.stat().st_mtime_ns == status.st_mtime_ns


def test_a_layer_that_a_container_runs_on_is_left(store: ImageStore) -> None:
    (image,) = store.list()
    damage(form(store, image.chain[1]))
    use = ContainerUse("c" * 64, image.id, image.chain, True)
    (found,) = check(store, repair=True, uses=(use,))
    assert not found.repaired and "running container" in found.remedy


@every_form
def test_missing_layer(store: ImageStore) -> None:
    (image,) = store.list()
    store.snapshotter.remove(image.chain[0])
    (found,) = check(store)
    assert found.subject == image.chain[0] and "it is not there" in found.problem
    (found,) = check(store, repair=True)
    assert found.repaired == "made from its blob"
    assert check(store) == []


def test_damaged_layer_blob_is_told_with_its_layer(store: ImageStore) -> None:
    (image,) = store.list()
    blob = store.content.path(image.layers[0].digest)
    blob.write_bytes(bytes(blob.stat().st_size))
    found = check(store, repair=True)
    assert {problem.kind for problem in found} == {"blob", "layer"}
    assert found[0].subject == image.layers[0].digest
    assert not any(problem.repaired for problem in found)


def test_damaged_config_comes_from_the_database(store: ImageStore) -> None:
    (image,) = store.list()
    damage(store.content.path(image.id))
    (found,) = check(store)
    assert (found.kind, found.subject) == ("blob", image.id) and "has the digest" in found.problem
    (found,) = check(store, repair=True)
    assert found.repaired == "written again from the database"
    store.content.path(image.id).unlink()
    (found,) = check(store, repair=True)
    assert "it is missing" in found.problem and found.repaired
    assert check(store) == []


def test_damaged_blob_that_nobody_needs(store: ImageStore) -> None:
    spare = store.content.add(b"spare").digest
    store.content.path(spare).write_bytes(b"spoilt")
    (found,) = check(store, repair=True)
    assert found.repaired == "nothing needs it: it was removed"
    assert check(store) == []


def test_damaged_blob_that_only_the_build_cache_needs(store: ImageStore) -> None:
    kept = store.content.add(b"kept").digest
    store.registrar.keepers.append(lambda: {kept})
    store.content.path(kept).write_bytes(b"spoilt")
    (found,) = check(store, repair=True)
    assert "nothing needs it" not in found.repaired
    assert "only the build cache needs it" in found.repaired and "it was removed" in found.repaired
    assert check(store) == []


def test_names_index_containers(store: ImageStore) -> None:
    (image,) = store.list()
    use = ContainerUse("c" * 64, "sha256:" + "0" * 64, (), False)
    (found,) = check(store, uses=(use,))
    assert found.kind == "container" and "corten rm cccccccccccc" in found.remedy
    store.content.root.joinpath("index.json").write_text("{")
    store.registrar.tables._all("UPDATE image_tags SET image = ?", "sha256:" + "1" * 64)
    store.registrar.tables._all("UPDATE images SET chain = ?", " ".join(image.chain[:1]))
    found_now = {problem.kind: problem for problem in check(store, repair=True)}
    assert set(found_now) == {"name", "index", "image"}, found_now
    assert all(problem.repaired for problem in found_now.values())
    assert store.resolve(image.id).chain == image.chain
    store.registrar.tables._all("UPDATE images SET config = ?", b"{}")
    assert [(problem.kind, problem.repaired) for problem in check(store, repair=True)] == [("image", "")]


def test_leftovers(store: ImageStore) -> None:
    old = time.time() - 3600
    places = [
        store.content.root / "ingest/abc",
        store.content.root / "blobs/sha256/not-a-digest",
        store.snapshotter.staging / "x",
        store.snapshotter.root / ("f" * 64),
    ]
    for place in places:
        place.mkdir()
        os.utime(place, (old, old))
    (store.content.root / "ingest/def").touch()  # somebody is at it
    found = check(store, repair=True)
    assert {problem.subject for problem in found} == {str(place) for place in places}
    assert all(problem.repaired for problem in found)
    assert not any(place.exists() for place in places)
    assert (store.content.root / "ingest/def").exists()


def test_orphan_layer(store: ImageStore) -> None:
    (image,) = store.list()
    store.registrar.tables.delete_image(image.id)
    store.registrar.tables._all("DELETE FROM image_tags")
    store.registrar.write_index()
    found = [problem for problem in check(store, repair=True) if problem.kind == "layer"]
    assert {problem.subject for problem in found} == set(image.chain)
    assert list(store.snapshotter.walk()) == []


@pytest.mark.parametrize("store", ["erofs-tar"], indirect=True)
def test_a_layer_that_only_the_build_cache_keeps(store: ImageStore) -> None:
    (image,) = store.list()
    load(store, docker_archive([tar_of([member("other", b"")])]))
    store.registrar.keepers.append(lambda: set(image.chain))
    store.remove(image.id, force=True)
    assert check(store) == []
    tar = store.snapshotter.directory(image.chain[0]) / "layer.tar"  # type: ignore[attr-defined]
    damage(tar, 600)
    (told,) = check(store)
    assert (told.kind, told.subject) == ("layer", image.chain[0]) and "build cache" in told.problem
    (mended,) = check(store, repair=True)
    assert mended.repaired
    assert image.chain[0] not in store.snapshotter.walk() and image.chain[1] in store.snapshotter.walk()
    assert check(store) == []
