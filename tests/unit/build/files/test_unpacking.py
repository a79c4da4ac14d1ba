"""ADD's archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.context.model import SourceTree
from corten.build.graph import Copy, Owner
from corten.errors import ArchiveError, CortenError, InvalidArgument
from tests.unit.build.context.trees import Description, plant, source
from tests.unit.build.files.layers import Maker, by_root
from tests.unit.snapshot.archives import device, directory, hard_link, member, symlink, tar_of

NEW = "755 0:0 /"
TREE = [
    directory("./", 0o700),
    directory("d/", 0o711, uid=3, gid=4),
    member("d/f", b"one", uid=5, gid=6, mode=0o640),
    hard_link("h", "d/f"),
    symlink("l", "d/f"),
]
# Files come before directories: the first name is the file, whichever it was in the archive.
UNPACKED = {"d": "711 3:4 /", "h": "640 5:6 one", "d/f": "644 0:0 = h", "l": "777 0:0 -> d/f"}


class Scene:
    def __init__(self, make: Maker, path: Path) -> None:
        self._make = make
        self._path = path
        self.image: Description = {}

    def add(self, archive: bytes, destination: str = "/", **fields: Any) -> dict[str, str]:
        image = source(plant(self._path / "image", self.image))
        context = source(plant(self._path / "context", {"a.tar": archive}))
        fields = {"unpack": True, **fields}
        written = self._make(Copy(1, "a.tar", destination, **fields), context, image=image)
        self.tar = written.tar
        return by_root(written.members)


@pytest.fixture
def scene(make: Maker, tmp_path: Path) -> Scene:
    return Scene(make, tmp_path)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.compress(data),
}


def modes(found: dict[str, str]) -> dict[str, str]:
    """A hard link's own fields mean nothing."""
    return {
        name: "644 0:0 " + value.split(" ", 2)[2] if " = " in value else value
        for name, value in found.items()
    }


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_all_compressions(scene: Scene, compression: str) -> None:
    archive = COMPRESSIONS[compression](tar_of(TREE))
    assert modes(scene.add(archive)) == UNPACKED
    below = {f"n/m/{name}": value.replace("= ", "= n/m/") for name, value in UNPACKED.items()}
    assert modes(scene.add(archive, "/n/m")) == {"n": NEW, "n/m": NEW, **below}


@pytest.mark.parametrize("unpack", [None, False])
def test_only_when_it_is_asked_for(scene: Scene, unpack: bool | None) -> None:
    assert list(scene.add(tar_of(TREE), unpack=unpack)) == ["a.tar"]


@pytest.mark.parametrize(
    "data",
    [b"", b"text\n", bytes(5000), gzip.compress(b"no tar"), b"\x1f\x8b broken", tar_of([])],
    ids=["empty", "text", "zeros", "gzip of text", "broken gzip", "empty tar"],
)
def test_what_is_no_archive_is_copied(scene: Scene, data: bytes) -> None:
    assert list(scene.add(data, "/n/")) == ["n", "n/a.tar"]


def test_archives_in_a_directory_are_not_unpacked(make: Maker, tmp_path: Path) -> None:
    context = source(plant(tmp_path / "context", {"s/a.tar": tar_of(TREE)}))
    assert list(make(Copy(1, "s", "/", unpack=True), context).members) == ["a.tar"]


def test_an_owner_that_is_asked_for_is_everybodys(scene: Scene) -> None:
    found = scene.add(tar_of(TREE), "/n/", owner=Owner(8, 9))
    assert {value.split()[1] for value in found.values()} == {"8:9"}


def test_it_comes_over_what_is_there(scene: Scene) -> None:
    scene.image = {"d/keep": "x", "d/f/deep": "x", "h/": 0o755, "l": "-> /etc"}
    found = modes(scene.add(tar_of([*TREE, directory("new/", 0o755)])))
    assert found == {**UNPACKED, "new": NEW}


def test_what_replaces_a_directory_hides_it_for_good(scene: Scene) -> None:
    scene.image = {"x/old": "1"}
    found = scene.add(tar_of([member("x", b"file"), directory("x/"), member("x/new", b"2")]))
    assert found == {"x": NEW, "x/.wh..wh..opq": "600 0:0 ", "x/new": "644 0:0 2"}


def test_directories_follow_links_below_the_destination(scene: Scene) -> None:
    scene.image = {"n/real/": 0o755, "n/d": "-> /real", "real/": 0o700}
    assert scene.add(tar_of([directory("d/", 0o711), member("d/f", b"1")]), "/n") == {
        "n": NEW, "n/real": "711 0:0 /", "n/real/f": "644 0:0 1",
    }  # fmt: skip


def test_links_lead_nowhere_outside(scene: Scene) -> None:
    scene.image = {"n/": 0o755, "secret/": 0o755}
    found = scene.add(tar_of([symlink("up", "../../secret"), member("up/f", b"1")]), "/n")
    assert found["n/secret/f"] == "644 0:0 1" and "secret" not in found


@pytest.mark.parametrize("name", ["../f", "a/../../f", "/../f"])
def test_names_that_lead_outside_are_refused(scene: Scene, name: str) -> None:
    with pytest.raises(ArchiveError, match=r"cannot unpack 'a\.tar' of the build context: .* leaves"):
        scene.add(tar_of([member("x"), member(name, b"x")]))


def test_dots_inside_are_fine(scene: Scene) -> None:
    assert scene.add(tar_of([member("x/../y", b"1"), member("/abs", b"2")])) == {
        "y": "644 0:0 1", "abs": "644 0:0 2",
    }  # fmt: skip


def test_hard_links_to_what_the_image_has(scene: Scene) -> None:
    scene.image = {"n/there": ("1", 0o640)}
    found = modes(scene.add(tar_of([hard_link("also", "there")]), "/n"))
    assert found["n/also"].endswith(" 1") and found["n/there"].endswith("= n/also")


@pytest.mark.parametrize("target", ["nothing", "d", "../x"])
def test_hard_links_to_nothing_are_refused(scene: Scene, target: str) -> None:
    with pytest.raises(ArchiveError, match="cannot unpack"):
        scene.add(tar_of([directory("d/"), hard_link("h", target)]))


def test_a_file_is_no_directory(scene: Scene) -> None:
    with pytest.raises(InvalidArgument, match="'f' is no directory"):
        scene.add(tar_of([member("f", b"1"), member("f/g", b"2")]))


def test_devices_and_pipes(scene: Scene) -> None:
    pipe = member("pipe", type=tarfile.FIFOTYPE)
    assert scene.add(tar_of([device("null", 1, 3), pipe])) == {
        "null": "644 0:0 character", "pipe": "644 0:0 pipe",
    }  # fmt: skip


def test_attributes(scene: Scene) -> None:
    headers = {
        f"SCHILY.xattr.{name}": "v" for name in ("user.note", "trusted.overlay.opaque", "user.overlay.opaque")
    }
    scene.add(tar_of([member("f", b"1", pax_headers=headers)]))
    with tarfile.open(fileobj=io.BytesIO(scene.tar)) as tar:
        assert tar.getmember("f").pax_headers == {"SCHILY.xattr.user.note": "v"}


def test_names_that_stand_for_deletions_are_refused(scene: Scene) -> None:
    with pytest.raises(InvalidArgument, match=r"'\.wh\.x' cannot be in an image"):
        scene.add(tar_of([member(".wh.x")]))


def test_a_truncated_archive(scene: Scene) -> None:
    archive = tar_of([member("a", bytes(100_000))])
    for data in (archive[:50_000], gzip.compress(archive)[:-20]):
        with pytest.raises(ArchiveError, match=r"cannot unpack 'a\.tar' of the build context"):
            scene.add(data)


def test_sparse_and_large_members(scene: Scene, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(3_000_000)
        file.seek(1_500_000)
        file.write(b"middle")
    archive = subprocess.run(
        ["tar", "-C", str(tmp_path), "--sparse", "--format=pax", "-cf", "-", "large"],
        capture_output=True,
        check=True,
    ).stdout
    assert len(archive) < 100_000
    scene.add(archive)
    with tarfile.open(fileobj=io.BytesIO(scene.tar)) as tar:
        found = tar.extractfile("large")
        assert found is not None and found.read() == large.read_bytes()


# -- anything at all

NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "c"]), min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(
    st.one_of(
        st.builds(member, NAMES, st.binary(max_size=10)),
        st.builds(directory, NAMES),
        st.builds(symlink, NAMES, st.one_of(NAMES, NAMES.map("/".__add__))),
        st.builds(hard_link, NAMES, NAMES),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(ENTRIES, ENTRIES)
def test_any_archive_over_any_image(
    first: list[tuple[tarfile.TarInfo, bytes]], second: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    """A layer comes of it that can be unpacked, or one sentence that says why not."""
    with tempfile.TemporaryDirectory() as scratch:
        make, image = Maker(Path(scratch)), None
        for position, entries in enumerate((first, second)):
            context = plant(Path(scratch, f"context{position}"), {"a.tar": tar_of(entries)})
            fd = os.open(context, os.O_RDONLY)
            try:
                written = make(Copy(1, "a.tar", "/", unpack=True), SourceTree(fd, "c"), image=image)
            except CortenError as error:
                assert "\n" not in error.message
                return
            finally:
                os.close(fd)
                if image is not None:
                    os.close(image.root)
            if not (written.directory / "fs").exists():
                return
            image = SourceTree(os.open(written.directory / "fs", os.O_RDONLY), "i", keep_owners=True)
        if image is not None:
            os.close(image.root)
