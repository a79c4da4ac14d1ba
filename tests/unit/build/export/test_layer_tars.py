"""Tars of layers: made once, whoever wants them, and nothing half-made."""

import asyncio
import os
from pathlib import Path

import pytest

from corten.build.export.layer_tars import LayerTars
from corten.build.solve.protocols import Drafted
from corten.errors import IntegrityError
from tests.unit.build.export.builds import Builds
from tests.unit.image.images import everything, layer_of, sha256


def many(tree: Path) -> None:
    for number in range(400):
        (tree / f"{number:03}").write_bytes(b"%d" % number)


async def test_small_and_large_give_the_same_bytes(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread packs the one, a process the other."""
    large = await builds.tars.get(builds.layer(many), builds.lease)
    monkeypatch.setattr("corten.build.export.layer_tars._SMALL_FILES", 1000)
    small = await builds.tars.get(builds.layer(many), builds.lease)
    assert large.blob == small.blob and large.diff_id == small.diff_id
    assert large.blob is not None
    assert sha256(builds.store.content.path(large.diff_id).read_bytes()) == large.diff_id


async def test_made_once(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = LayerTars._make

    async def counted(self, layer, lease):  # type: ignore[no-untyped-def]
        calls.append(layer.id)
        return await real(self, layer, lease)

    monkeypatch.setattr(LayerTars, "_make", counted)
    layer = builds.layer(many)
    made = await asyncio.gather(*(builds.tars.get(layer, builds.lease) for _ in range(5)))
    assert len(set(made)) == 1 and calls == [layer.id]
    assert await builds.tars.get(layer, builds.lease) == made[0] and calls == [layer.id]
    # A blob that was lost is made again.
    assert made[0].blob is not None
    builds.store.content.path(made[0].diff_id).unlink()
    assert await builds.tars.get(layer, builds.lease) == made[0] and len(calls) == 2


async def test_the_tar_that_a_layer_has_already(builds: Builds) -> None:
    """It is not copied: the blob is the same file."""
    draft = builds.layers.draft()
    (draft.directory / "fs").mkdir()
    data = layer_of("a")
    (draft.directory / "layer.tar").write_bytes(data)
    layer = builds.layers.place(draft, Drafted(1, 1, sha256(data), len(data)), "")
    builds.layers.note([layer])
    made = await builds.tars.get(layer, builds.lease)
    assert made.diff_id == sha256(data)
    blob = builds.store.content.path(sha256(data))
    assert blob.stat().st_ino == (builds.layers.directory(layer) / "layer.tar").stat().st_ino


async def test_a_layer_that_is_not_what_it_was(builds: Builds) -> None:
    layer = builds.layer(lambda tree: (tree / "a").write_bytes(b"1"))
    made = await builds.tars.get(layer, builds.lease)
    builds.store.content.path(made.diff_id).unlink()
    (builds.layers.directory(layer) / "fs" / "a").write_bytes(b"2")
    with pytest.raises(IntegrityError, match="of the build cache is damaged"):
        await builds.tars.get(layer, builds.lease)


async def test_given_up_in_the_middle(builds: Builds) -> None:
    def large(tree: Path) -> None:
        with open(tree / "large", "wb") as file:
            for _ in range(64):
                file.write(os.urandom(1 << 20))

    layer = builds.layer(large)
    task = asyncio.create_task(builds.tars.get(layer, builds.lease))
    ingest = builds.store.content.root / "ingest"
    while not any(ingest.iterdir()):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert everything(builds.store)[2] == []
    made = await builds.tars.get(layer, builds.lease)
    assert made.blob is not None and made.blob.size > 64 << 20
