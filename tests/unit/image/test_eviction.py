"""Which images make room, and which never do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from corten.errors import NotFound
from corten.image.footprint import measure
from corten.image.model import ContainerUse
from corten.image.store import ImageStore
from tests.unit.image.images import FakeUsers, docker_archive, load, make_store
from tests.unit.snapshot.archives import member, tar_of

SHARED = tar_of([member("shared", os.urandom(400_000))])


def make(root: Path, *names: str) -> tuple[ImageStore, FakeUsers, dict[str, str]]:
    """Images of the same size that share a layer, used in the order of their names."""
    users = FakeUsers()
    store = make_store(root, users)
    ids = {}
    for name in names:
        own = tar_of([member(name, os.urandom(200_000))])
        (ids[name],) = load(store, docker_archive([SHARED, own], [f"{name}:1"]))
        store.uses.now(ids[name])
    time.sleep(0.002)
    return store, users, ids


def names(store: ImageStore) -> set[str]:
    return {tag.partition(":")[0] for image in store.list() for tag in image.repo_tags}


def test_the_least_recently_used_goes(tmp_path: Path) -> None:
    store, _, ids = make(tmp_path / "root", "a", "b", "c", "d")
    store.uses.now(ids["a"])
    time.sleep(0.002)
    total = measure(store.registrar).total
    assert store.evict(total, grace=0) == []
    (gone,) = store.evict(total - 100_000, grace=0)
    assert gone.names == ("b:1",) and names(store) == {"a", "c", "d"}
    after = measure(store.registrar).total
    assert abs(total - after - gone.reclaimed) <= 32 << 10 and gone.reclaimed > 390_000
    assert gone.last_used <= time.time_ns()
    two = store.evict(after - 500_000, grace=0)
    assert [one.names for one in two] == [("c:1",), ("d:1",)]
    store.close()


def test_used_and_fresh_images_stay(tmp_path: Path) -> None:
    store, users, ids = make(tmp_path / "root", "a", "b", "c")
    users.containers[ids["a"]] = [ContainerUse("x" * 64, False)]
    assert store.evict(1, grace=60) == []
    store.uses.now(ids["c"])
    time.sleep(0.002)
    assert {one.names for one in store.evict(1, grace=0)} == {("b:1",), ("c:1",)}
    assert names(store) == {"a"}
    assert len(store.lowers(store.resolve("a:1"))) == 2
    store.close()


def test_what_frees_nothing_stays(tmp_path: Path) -> None:
    store, _users, _ids = make(tmp_path / "root", "a", "b")
    # The same layers as `a`, under another config, used before it.
    (twin,) = load(store, docker_archive([SHARED], ["twin:1"]))
    store.uses._fresh[twin] = 1
    store.registrar.tables._all("UPDATE images SET last_tagged = 0 WHERE id = ?", twin)
    total = measure(store.registrar).total
    gone = store.evict(total - 100_000, grace=0)
    assert ("a:1",) in {one.names for one in gone}
    assert names(store) >= {"b"}
    store.close()


def test_what_somebody_else_keeps_frees_nothing(tmp_path: Path) -> None:
    """The build cache has the layers and blobs of `a` as well: that image alone makes no room."""
    store, _users, _ids = make(tmp_path / "root", "a", "b", "c")
    kept = store.resolve("a:1")
    needed = {*kept.chain, *(layer.digest for layer in kept.layers)}
    store.registrar.keepers.append(lambda: needed)
    gone = store.evict(measure(store.registrar).total - 100_000, grace=0)
    assert ("b:1",) in {one.names for one in gone}
    assert sum(one.reclaimed for one in gone if one.names == ("a:1",)) < 50_000
    assert names(store) >= {"c"}
    assert set(store.snapshotter.walk()) >= set(kept.chain)
    assert all(store.content.contains(layer.digest) for layer in kept.layers)
    store.registrar.keepers.clear()
    store.collect()
    assert kept.chain[-1] not in set(store.snapshotter.walk())
    store.close()


def test_uses_are_kept(tmp_path: Path) -> None:
    store, _, ids = make(tmp_path / "root", "a", "b")
    before = store.uses.all()
    store.remove("b:1")
    store.uses.now(ids["a"])
    store.close()
    store = make_store(tmp_path / "root")
    found = store.uses.all()
    assert set(found) == {ids["a"]} and found[ids["a"]] > before[ids["a"]]
    store.close()


def test_an_image_that_is_being_taken(tmp_path: Path) -> None:
    store, users, ids = make(tmp_path / "root", "a")
    with store.taking(ids["a"]):
        users.containers[ids["a"]] = [ContainerUse("x" * 64, False)]
    assert store.evict(1, grace=0) == []
    users.containers.clear()
    assert len(store.evict(1, grace=0)) == 1
    with pytest.raises(NotFound), store.taking(ids["a"]):
        pass
    store.close()
