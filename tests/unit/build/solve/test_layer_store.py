"""Layers that builds make: drafts, their place, their way into images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corten.build.solve.database import CacheDatabase
from corten.build.solve.keeping import kept_by_records
from corten.build.solve.protocols import Drafted
from corten.build.solve.result import BuiltLayer, Result
from corten.errors import NotFound, Unavailable, Unsupported
from corten.oci.descriptor import Descriptor
from corten.oci.digest import chain_ids, sha256_of
from corten.oci.manifest import OCI_LAYER
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.build.solve.world import World


def make(world: World, text: str, *, name: str = "file") -> BuiltLayer:
    """A layer with one file, noted as a record's chain is."""
    draft = world.layers.draft()
    (draft.directory / "fs").mkdir()
    (draft.directory / "fs" / name).write_text(text)
    layer = world.layers.place(draft, Drafted(len(text), 1), "key " + text)
    world.layers.note([layer])
    return layer


def name(world: World, layer: BuiltLayer) -> BuiltLayer:
    """Its tar has been made."""
    digest = sha256_of(layer.id.encode())
    world.layers.note_tar(layer, digest, Descriptor(OCI_LAYER, digest, 1))
    return world.layers.describe(layer)


async def test_a_draft_becomes_a_layer(world: World) -> None:
    layer = make(world, "one")
    assert layer.is_made_here
    assert layer.made_by == "key one"
    assert world.layers.contains(layer)
    assert world.layers.usage(layer).size == 3
    assert Path(world.layers.lowers([layer])[0], "file").read_text() == "one"
    assert world.layers.known([layer.id]) == (layer,)
    assert list(world.layers._own.staging.iterdir()) == []


async def test_a_draft_that_is_discarded(world: World) -> None:
    draft = world.layers.draft()
    (draft.directory / "fs" / "a").mkdir(parents=True)
    world.layers.discard(draft)
    assert not draft.directory.exists()


async def test_the_topmost_layer_comes_first(world: World) -> None:
    one, two = make(world, "one"), make(world, "two")
    lowers = world.layers.lowers([one, two])
    assert [Path(lower, "file").read_text() for lower in lowers] == ["two", "one"]
    with pytest.raises(NotFound):
        world.layers.lowers([BuiltLayer("f" * 64)])
    with pytest.raises(NotFound):
        world.layers.known(["f" * 64])


async def test_more_layers_than_an_overlay_takes(world: World) -> None:
    layer = make(world, "one")
    with pytest.raises(Unsupported, match="has 600 layers, and the kernel's overlay takes 490"):
        world.layers.lowers([layer] * 600)


async def test_what_is_learned_of_a_layer(world: World) -> None:
    layer = make(world, "one")
    named = name(world, layer)
    assert named.diff_id == sha256_of(layer.id.encode())
    assert named.blob is None, "its blob is not in the content store"
    blob = world.store.content.add(b"tar")
    world.layers.note_tar(layer, blob.digest, Descriptor(OCI_LAYER, blob.digest, blob.size))
    described = world.layers.describe(layer)
    assert described.blob is not None
    world.store.collect()
    assert world.store.content.contains(blob.digest), "it stays for as long as the layer does"


async def test_an_image_gets_the_very_directory(world: World) -> None:
    layers = [name(world, make(world, text)) for text in ("one", "two")]
    inode = os.stat(Path(world.layers.lowers(layers)[0], "file")).st_ino
    chain = world.layers.publish(layers)
    assert chain == chain_ids([layer.diff_id for layer in layers])
    snapshotter = world.store.snapshotter
    assert isinstance(snapshotter, OverlaySnapshotter)
    assert os.stat(Path(snapshotter.lowers(chain)[0], "file")).st_ino == inode
    assert snapshotter.record(chain[1]).diff_id == layers[1].diff_id
    # The cache finds it where it was.
    assert os.stat(Path(world.layers.lowers(layers)[0], "file")).st_ino == inode
    assert world.layers.publish(layers) == chain, "twice is once"
    world.store.collect()
    assert set(snapshotter.walk()) == set(chain)


async def test_a_layer_that_another_image_has_elsewhere(world: World) -> None:
    """COPY --link: one layer over several bases. What is not in its place is made of the blob."""
    one, two, linked = (name(world, make(world, text)) for text in ("one", "two", "linked"))
    first = world.layers.publish([one, linked])
    second = world.layers.publish([two, linked])
    assert world.store.snapshotter.contains(first[1])
    assert not world.store.snapshotter.contains(second[1])
    assert world.layers.contains(linked)


async def test_a_publication_that_was_cut_short(world: World) -> None:
    layer = name(world, make(world, "one"))
    (chain_id,) = chain_ids([layer.diff_id])
    snapshotter = world.store.snapshotter
    assert isinstance(snapshotter, OverlaySnapshotter)
    snapshotter.directory(chain_id).symlink_to("nowhere")
    world.layers.publish([layer])
    assert (snapshotter.directory(chain_id) / "fs" / "file").read_text() == "one"


async def test_without_exchange(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(22, "no exchange here")

    monkeypatch.setattr("corten.build.solve.layer_store.renameat2", refuse)
    layer = name(world, make(world, "one"))
    chain = world.layers.publish([layer])
    assert Path(world.store.snapshotter.lowers(chain)[0], "file").read_text() == "one"
    assert Path(world.layers.lowers([layer])[0], "file").read_text() == "one"


async def test_nobody_needs_it_any_more(world: World) -> None:
    layer = make(world, "one")
    release = world.layers.pin([layer])
    world.layers.unpin([layer])  # that of `place`
    world.layers.sweep()
    assert world.layers.contains(layer)
    release()
    world.layers.sweep()
    assert not world.layers.contains(layer)


async def test_recovery(world: World) -> None:
    lost, kept = make(world, "lost"), make(world, "kept")
    world.layers.draft()
    world.layers._own.remove(f"sha256:{lost.id}")
    (world.layers.root / ("e" * 64)).symlink_to("../../snapshots/gone")
    assert world.layers.recover() == [lost.id]
    assert world.layers.contains(kept)
    assert list(world.layers._own.staging.iterdir()) == []
    assert not (world.layers.root / ("e" * 64)).is_symlink()


@pytest.mark.root
async def test_views(world: World) -> None:
    assert world.files(Result()) == {}
    one, two = make(world, "one", name="a"), make(world, "two", name="b")
    assert world.files(Result((one,))) == {"a": "one"}
    assert world.files(Result((one, two))) == {"a": "one", "b": "two"}
    view = world.layers.view(Result((one,)))
    with pytest.raises(OSError, match="Read-only"):
        os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=view.fd)
    view.close()


def test_what_records_need_before_and_after_all_builds(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    assert kept_by_records(path) == set()
    database = CacheDatabase(path)
    assert kept_by_records(path) == set()
    for row in (
        ("sha256:base", "", '{"mediaType":"x","digest":"sha256:blob","size":1}'),
        ("a" * 64, "sha256:published", ""),
        ("b" * 64, "", '{"mediaType":"x","digest":"sha256:tar","size":1}'),
    ):
        database.all("INSERT INTO layers (id, size, inodes, chain_id, blob) VALUES (?,0,0,?,?)", row)
    needed = {"sha256:base", "sha256:blob", "sha256:published", "sha256:tar"}
    assert kept_by_records(path) == needed
    database.close()
    assert kept_by_records(path) == needed
    path.write_bytes(b"damaged" * 1000)
    assert kept_by_records(path) == set()


def test_when_nobody_knows_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    CacheDatabase(path).close()
    path.rename(tmp_path / "away")
    path.mkdir()  # there is something, and it cannot be opened
    with pytest.raises(Unavailable, match="cannot read what the build cache"):
        kept_by_records(path)
