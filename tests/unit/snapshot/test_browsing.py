"""Every file of a stack of layers, where it comes from, and what it hides; beside what overlay shows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import NotFound, Unsupported
from corten.image.store import ImageStore
from corten.snapshot.browsing import Entry, Hidden, browse
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.view import run_in_view
from tests.unit.image.images import docker_archive, load, make_store
from tests.unit.snapshot.archives import directory, member, symlink, tar_of

LAYERS = [
    tar_of(
        [
            directory("etc"),
            member("etc/passwd", b"old" * 10),
            member("etc/gone", b"g" * 7),
            member("etc/kept", b"k"),
            member("etc/twice", b"1"),
            directory("dir"),
            member("dir/a", b"aa"),
            directory("opaque"),
            member("opaque/below", b"b"),
            member("becomes-dir", b"file"),
            directory("becomes-file"),
            member("becomes-file/x", b"x"),
            symlink("link", "etc"),
        ]
    ),
    tar_of(
        [
            member("etc/passwd", b"new" * 20),
            member("etc/.wh.gone", b""),
            member("etc/twice", b"22"),
            member("dir/b", b"bbb"),
            member("opaque/.wh..wh..opq", b""),
            member("opaque/above", b"a"),
            member(".wh.becomes-dir", b""),
        ]
    ),
    tar_of(
        [
            member("etc/twice", b"333"),
            directory("becomes-dir"),
            member("becomes-dir/y", b"y"),
            member("becomes-file", b"now a file"),
            member("etc/gone", b"again"),
        ]
    ),
]


@pytest.fixture(params=["overlay", "erofs"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    if request.param == "erofs":
        if os.geteuid():
            pytest.skip("mounting EROFS images needs root")
        try:
            store.snapshotter = store.registrar.snapshotter = ErofsSnapshotter(store.snapshotter.root)
        except Unsupported as error:
            pytest.skip(str(error))
    load(store, docker_archive(LAYERS))
    yield store
    store.close()


def entries(store: ImageStore, path: str = "/", *, deleted: bool = False) -> dict[str, Entry]:
    (image,) = store.list()
    found = list(browse(store.lowers(image), path, deleted=deleted))
    assert len({entry.path for entry in found}) == len(found)
    return {entry.path: entry for entry in found}


def test_layers_and_what_they_hide(store: ImageStore) -> None:
    found = entries(store)
    assert next(iter(found)) == "/" and list(found) == sorted(found, key=lambda path: path.split("/"))
    told = {path: (entry.layer, entry.shadows) for path, entry in found.items() if entry.type != "directory"}
    assert told == {
        "/etc/passwd": (2, (Hidden(1, "file", 30),)),
        "/etc/kept": (1, ()),
        "/etc/gone": (3, ()),  # the whiteout of layer 2 hid that of layer 1
        "/etc/twice": (3, (Hidden(2, "file", 2), Hidden(1, "file", 1))),
        "/dir/a": (1, ()),
        "/dir/b": (2, ()),
        "/opaque/above": (2, ()),
        "/becomes-dir/y": (3, ()),
        "/becomes-file": (3, (Hidden(1, "directory", 0),)),
        "/link": (1, ()),
    }
    assert found["/opaque"].shadows == (Hidden(1, "directory", 0),)
    assert found["/etc/passwd"].size == 60 and found["/link"].target == "etc"


def test_deleted(store: ImageStore) -> None:
    deleted = {
        path: (entry.layer, entry.shadows)
        for path, entry in entries(store, deleted=True).items()
        if entry.type == "deleted"
    }
    assert deleted == {}  # both names came again
    (image,) = store.list()
    lower_two = store.lowers(image)[1:]
    found = {entry.path: entry for entry in browse(lower_two, deleted=True) if entry.type == "deleted"}
    assert {path: (entry.layer, entry.shadows) for path, entry in found.items()} == {
        "/etc/gone": (2, (Hidden(1, "file", 7),)),
        "/becomes-dir": (2, (Hidden(1, "file", 4),)),
    }


def test_below_a_path(store: ImageStore) -> None:
    assert set(entries(store, "/dir/")) == {"/dir", "/dir/a", "/dir/b"}
    (only,) = entries(store, "etc/twice").values()
    assert (only.path, only.layer, only.size) == ("/etc/twice", 3, 3)
    for path in ("/nothing", "/opaque/below", "/etc/kept/x", "/becomes-file/x"):
        with pytest.raises(NotFound):
            entries(store, path)
    with pytest.raises(NotFound, match="symbolic link to 'etc'"):
        entries(store, "/link/passwd")


@pytest.mark.root
def test_the_same_as_overlay(store: ImageStore, tmp_path: Path) -> None:
    (image,) = store.list()
    upper, work, output = tmp_path / "upper", tmp_path / "work", tmp_path / "out.tar"
    upper.mkdir()
    work.mkdir()
    with open(output, "wb") as file:
        run_in_view(store.lowers(image), str(upper), str(work), "pack_tree", fds=[file.fileno()])
    import tarfile

    with tarfile.open(output) as tar:
        seen = {"/" + info.name.strip("./"): (info.mode, info.uid, info.size) for info in tar}
    found = entries(store)
    seen.pop("/", None)
    assert seen == {
        path: (entry.mode & 0o7777, entry.uid, entry.size) for path, entry in found.items() if path != "/"
    }
    assert stat.S_IMODE(0o40755) == found["/etc"].mode
