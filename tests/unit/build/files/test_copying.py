"""What COPY makes of a file system: BuildKit's rules, found out beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from corten.build.files.model import NothingWritten
from corten.build.graph import Copy, FileAction, MakeDirectory, Owner, WriteFile
from corten.errors import CortenError, InvalidArgument, NotFound
from tests.unit.build.context.trees import Description, plant, source
from tests.unit.build.files.layers import Maker, by_root


class Scene:
    """An image, a context, and what actions make of them."""

    def __init__(self, make: Maker, path: Path) -> None:
        self._make = make
        self._path = path
        self.image_tree: Description = {}
        self.context: Description = {}
        self.ignore: tuple[str, ...] = ()

    def make(self, *actions: FileAction) -> dict[str, str]:
        """The layer's members."""
        image = source(plant(self._path / "image", self.image_tree), keep_owners=True)
        context = source(plant(self._path / "context", self.context), ignore=self.ignore)
        written = self._make(actions, context, image=image)
        if isinstance(written.layer, NothingWritten):
            return {}
        return by_root(written.members)


@pytest.fixture
def scene(make: Maker, tmp_path: Path) -> Scene:
    return Scene(make, tmp_path)


def copy(path: str, destination: str, **fields: Any) -> Copy:
    return Copy(1, path, destination, **fields)


FILE = "644 0:0 new"
NEW = "755 0:0 /"


@pytest.mark.parametrize(
    ("image", "destination", "expected"),
    [
        ({}, "/g", {"g": FILE}),
        ({}, "/n/g", {"n": NEW, "n/g": FILE}),
        ({}, "/n/m/", {"n": NEW, "n/m": NEW, "n/m/f": FILE}),
        ({"d/": 0o700}, "/d", {"d": "700 0:0 /", "d/f": FILE}),
        ({"d/": 0o700}, "/d/", {"d": "700 0:0 /", "d/f": FILE}),
        ({"d/": 0o700}, "/d/.", {"d": "700 0:0 /", "d/f": FILE}),
        ({"d/f": ("old", 0o600)}, "/d/f", {"d": NEW, "d/f": FILE}),
        ({"real/": 0o755, "l": "-> real"}, "/l/", {"real": NEW, "real/f": FILE}),
        ({"real/": 0o755, "l": "-> /real"}, "/l", {"real": NEW, "real/f": FILE}),
        ({"real": "old", "l": "-> real"}, "/l", {"real": FILE}),
        ({"l": "-> no/where"}, "/l", {"no": NEW, "no/where": FILE}),
        ({"l": "-> no/where"}, "/l/", {"no": NEW, "no/where": NEW, "no/where/f": FILE}),
        ({"real": "old", "d/f": "-> ../real"}, "/d/", {"d": NEW, "d/f": FILE}),
        ({"up": "-> ../../../..", "real/": 0o755}, "/up/real/g", {"real": NEW, "real/g": FILE}),
        ({"a/b/": 0o755, "a/l": "-> b/../../c"}, "/a/l/g", {"c": NEW, "c/g": FILE}),
    ],
)
def test_one_file(scene: Scene, image: Description, destination: str, expected: dict[str, str]) -> None:
    scene.image_tree, scene.context = image, {"f": "new"}
    assert scene.make(copy("f", destination)) == expected


@pytest.mark.parametrize(
    ("image", "destination", "message"),
    [
        ({"d/f/": 0o755}, "/d/", "cannot replace the directory '/d/f' of the image with a file"),
        ({"file": "x"}, "/file/x/y", "cannot make '/file/x' in the image: '/file' is no directory there"),
        ({"file": "x"}, "/file/", "'/file' is no directory there"),
        ({"l": "-> l"}, "/l/x", "goes round in symbolic links of the image"),
    ],
)
def test_where_a_file_cannot_go(scene: Scene, image: Description, destination: str, message: str) -> None:
    scene.image_tree, scene.context = image, {"f": "new"}
    with pytest.raises(InvalidArgument, match=message):
        scene.make(copy("f", destination))


def test_the_contents_of_a_directory_are_copied(scene: Scene) -> None:
    scene.image_tree = {"d/": 0o700}
    scene.context = {"s/": 0o750, "s/a/": 0o711, "s/a/b/": 0o2755, "s/a/b/f": ("new", 0o4755)}
    expected = {"a": "711 0:0 /", "a/b": "2755 0:0 /", "a/b/f": "4755 0:0 new"}
    assert scene.make(copy("s", "/d")) == {
        "d": "700 0:0 /",
        **{f"d/{name}": content for name, content in expected.items()},
    }
    assert scene.make(copy("s/", "/x/y")) == {
        "x": NEW,
        "x/y": NEW,
        **{f"x/y/{name}": content for name, content in expected.items()},
    }
    assert scene.make(copy("s", "/")) == expected


def test_directories_further_down_become_like_the_copied(scene: Scene) -> None:
    scene.image_tree = {"d/": 0o700, "d/a/": 0o700, "d/a/keep": "old", "d/a/b/": 0o700}
    scene.context = {"s/": 0o755, "s/a/": 0o711, "s/a/f": "new"}
    assert scene.make(copy("s", "/d")) == {"d": "700 0:0 /", "d/a": "711 0:0 /", "d/a/f": FILE}


@pytest.mark.parametrize("there", [{"d/a": "x"}, {"d/real/": 0o755, "d/a": "-> real"}])
def test_a_directory_over_something_else(scene: Scene, there: Description) -> None:
    scene.image_tree, scene.context = there, {"s/a/f": "new"}
    with pytest.raises(InvalidArgument, match="cannot copy a directory to '/d/a'"):
        scene.make(copy("s", "/d"))


def test_links_are_copied_as_they_are(scene: Scene) -> None:
    scene.context = {"s/f": "new", "s/l": "-> f", "s/d": "-> nowhere", "s/abs": "-> /etc", "s/loop": "-> ."}
    found = scene.make(copy("s", "/"))
    assert {name: content.split(" ", 2)[2] for name, content in found.items()} == {
        "f": "new", "l": "-> f", "d": "-> nowhere", "abs": "-> /etc", "loop": "-> .",
    }  # fmt: skip


def test_links_that_are_sources_are_followed(scene: Scene) -> None:
    scene.context = {"f": "new", "l": "-> f", "s/f": "new", "d": "-> s"}
    assert scene.make(copy("l", "/x/")) == {"x": NEW, "x/l": FILE}
    assert scene.make(copy("d", "/x/")) == {"x": NEW, "x/f": FILE}


def test_hard_links_stay_linked(scene: Scene) -> None:
    scene.context = {"s/b": "new", "s/a": "= s/b", "s/z/c": "= s/b", "other": "= s/b"}
    assert scene.make(copy("s", "/"), copy("other", "/")) == {
        "a": FILE, "b": "644 0:0 = a", "z": NEW, "z/c": "644 0:0 = a", "other": FILE,
    }  # fmt: skip


def test_pipes_are_copied(scene: Scene, tmp_path: Path) -> None:
    plant(tmp_path / "context", {"s/": 0o755})
    os.mkfifo(tmp_path / "context/s/p", 0o640)
    assert scene.make(copy("s", "/")) == {"p": "640 0:0 pipe"}


@pytest.mark.root
def test_devices_are_copied(scene: Scene, tmp_path: Path) -> None:
    plant(tmp_path / "context", {"s/": 0o755})
    os.mknod(tmp_path / "context/s/null", 0o20666, os.makedev(1, 3))
    os.chmod(tmp_path / "context/s/null", 0o666)
    assert scene.make(copy("s", "/")) == {"null": "666 0:0 character"}


def test_wildcards(scene: Scene) -> None:
    scene.context = {"a1": "new", "a2": "new", "b": "new", "x1/p/f": "new", "x2/p/g": "new", "x2/h": "new"}
    assert scene.make(copy("a*", "/d/")) == {"d": NEW, "d/a1": FILE, "d/a2": FILE}
    assert scene.make(copy("x*", "/d")) == {"d": NEW, "d/p": NEW, "d/p/f": FILE, "d/p/g": FILE, "d/h": FILE}
    assert scene.make(copy("x*/?", "/d/")) == {"d": NEW, "d/f": FILE, "d/g": FILE, "d/h": FILE}
    assert scene.make(copy("z*", "/d/")) == {}
    with pytest.raises(InvalidArgument, match=r"'a\*' matches 2 files, and '/d' is no directory"):
        scene.make(copy("a*", "/d"))


def test_several_files_may_go_to_a_directory_without_a_slash(scene: Scene) -> None:
    scene.image_tree, scene.context = {"d/": 0o755}, {"a1": "new", "a2": "new"}
    assert scene.make(copy("a*", "/d")) == {"d": NEW, "d/a1": FILE, "d/a2": FILE}


def test_later_actions_come_over_earlier_ones(scene: Scene) -> None:
    scene.image_tree = {"d/f": "old"}
    scene.context = {"f": "first", "s/f": "new", "s/g": "new"}
    assert scene.make(copy("f", "/d/"), copy("s", "/d/")) == {"d": NEW, "d/f": FILE, "d/g": FILE}
    assert scene.make(copy("s", "/d/"), copy("f", "/d/")) == {"d": NEW, "d/f": "644 0:0 first", "d/g": FILE}


def test_links_of_this_layer_lead_on(scene: Scene) -> None:
    scene.context = {"s/l": "-> real/deep", "f": "new"}
    assert scene.make(copy("s", "/"), copy("f", "/l/")) == {
        "l": "777 0:0 -> real/deep", "real": NEW, "real/deep": NEW, "real/deep/f": FILE,
    }  # fmt: skip


def test_owners(scene: Scene) -> None:
    scene.image_tree = {"etc/passwd": "bob:x:7:8::/:\n", "etc/group": "staff:x:50:\n", "there/a/": 0o755}
    scene.context = {"s/a/f": "new", "s/l": "-> f"}
    assert scene.make(copy("s", "/n/", owner=Owner("bob"))) == {
        "n": "755 7:8 /", "n/a": "755 7:8 /", "n/a/f": "644 7:8 new", "n/l": "777 7:8 -> f",
    }  # fmt: skip
    assert scene.make(copy("s", "/there/", owner=Owner(5, "staff"))) == {
        "there": NEW, "there/a": "755 5:50 /", "there/a/f": "644 5:50 new", "there/l": "777 5:50 -> f",
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="there is no user 'alice'"):
        scene.make(copy("s", "/n/", owner=Owner("alice")))


def test_modes(scene: Scene) -> None:
    scene.context = {"s/a/": 0o700, "s/a/f": ("new", 0o600), "s/a/x": ("new", 0o700), "s/l": "-> a"}
    assert scene.make(copy("s", "/n/", mode="4711")) == {
        "n": NEW,
        "n/a": "4711 0:0 /", "n/a/f": "4711 0:0 new", "n/a/x": "4711 0:0 new", "n/l": "777 0:0 -> a",
    }  # fmt: skip
    assert scene.make(copy("s", "/n/", mode="go=rX")) == {
        "n": NEW, "n/a": NEW, "n/a/f": "644 0:0 new", "n/a/x": "755 0:0 new", "n/l": "777 0:0 -> a",
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="the mode 'nonsense'"):
        scene.make(copy("s", "/n/", mode="nonsense"))


@pytest.mark.root
def test_owners_of_other_stages_are_kept(make: Maker, tmp_path: Path) -> None:
    stage = plant(tmp_path / "stage", {"s/a/f": "new", "s/l": "-> f"})
    for name, ids in (("s/a", (3, 4)), ("s/a/f", (5, 6)), ("s/l", (7, 8))):
        os.chown(stage / name, *ids, follow_symlinks=False)
    found = make(copy("s", "/n/"), source(stage, keep_owners=True)).members
    assert found == {"n": NEW, "n/a": "755 3:4 /", "n/a/f": "644 5:6 new", "n/l": "777 7:8 -> f"}


def test_parents(scene: Scene) -> None:
    scene.image_tree = {"have/x/": 0o700}
    scene.context = {"x/": 0o711, "x/y/a.txt": "new", "x/y/b.md": "new", "x/z/c.txt": "new", "d.txt": "new"}
    below = {"x": "711 0:0 /", "x/y": NEW, "x/y/a.txt": FILE}

    def parents(source: str, include: str, destination: str) -> dict[str, str]:
        return scene.make(copy(source, destination, parents=True, include=(include,)))

    assert parents("/", "x/y/a.txt", "/n/") == {"n": NEW, **{f"n/{k}": v for k, v in below.items()}}
    assert parents("/", "x/y/a.txt", "/") == below
    # The pivot: what comes before is not kept.
    assert parents("x", "y/a.txt", "/n/") == {"n": NEW, "n/y": NEW, "n/y/a.txt": FILE}
    assert parents("/", "**/*.txt", "/") == {
        **below, "x/z": NEW, "x/z/c.txt": FILE, "d.txt": FILE,
    }  # fmt: skip
    assert parents("/", "x/y", "/") == {**below, "x/y/b.md": FILE}
    # A parent that is there takes the mode, not the owner.
    assert parents("/", "x/y/a.txt", "/have/") == {
        "have": NEW, "have/x": "711 0:0 /", "have/x/y": NEW, "have/x/y/a.txt": FILE,
    }  # fmt: skip
    with pytest.raises(NotFound, match="'/x/no' is not in the build context"):
        scene.make(copy("/", "/", parents=True, include=("x/no",), required=("/x/no",)))


def test_exclude(scene: Scene) -> None:
    scene.context = {"s/a.txt": "new", "s/b.md": "new", "s/d/c.md": "new", "s/d/e": "new"}
    assert scene.make(copy("s", "/", exclude=("*.md",))) == {
        "a.txt": FILE,
        "d": NEW,
        "d/c.md": FILE,
        "d/e": FILE,
    }
    assert scene.make(copy("s", "/", exclude=("**/*.md",))) == {"a.txt": FILE, "d": NEW, "d/e": FILE}
    assert scene.make(copy("s", "/", exclude=("d", "!d/e"))) == {
        "a.txt": FILE,
        "b.md": FILE,
        "d": NEW,
        "d/e": FILE,
    }


def test_names_that_stand_for_deletions_are_refused(scene: Scene) -> None:
    scene.context = {"s/.wh.f": "x", "s/.wh..wh..opq": "x"}
    with pytest.raises(InvalidArgument, match=r"'\.wh\.\.wh\.\.opq' cannot be in an image"):
        scene.make(copy("s", "/"))
    with pytest.raises(InvalidArgument, match=r"cannot be in an image"):
        scene.make(copy("s", "/.wh.x/"))


def test_nothing_can_be_copied_from_scratch(make: Maker) -> None:
    with pytest.raises(NotFound, match="cannot be copied from an empty file system"):
        make(copy("f", "/"), None)


# -- WORKDIR and here-documents


def test_directories_are_made(scene: Scene) -> None:
    scene.image_tree = {"real/": 0o700, "l": "-> real", "file": "x", "etc/passwd": "bob:x:7:8::/:\n"}
    assert scene.make(MakeDirectory("/a/b")) == {"a": NEW, "a/b": NEW}
    assert scene.make(MakeDirectory("/l/b")) == {"real": "700 0:0 /", "real/b": NEW}
    assert scene.make(MakeDirectory("/a/b", 0o700, Owner("bob"))) == {"a": "700 7:8 /", "a/b": "700 7:8 /"}
    assert scene.make(MakeDirectory("/l"), MakeDirectory("/"), MakeDirectory("/real")) == {}
    with pytest.raises(InvalidArgument, match="'/file' is no directory there"):
        scene.make(MakeDirectory("/file/x"))


def test_a_layer_of_nothing_says_so(make: Maker, tmp_path: Path) -> None:
    image = source(plant(tmp_path, {"w/": 0o700}))
    written = make(MakeDirectory("/w"), image=image)
    assert written.layer == NothingWritten(()) and list(written.directory.iterdir()) == []


def test_a_user_that_nobody_knows_makes_directories_of_roots(make: Maker, tmp_path: Path) -> None:
    written = make(MakeDirectory("/w", owner=Owner("ghost")), image=source(tmp_path))
    assert written.members == {"w": NEW}
    assert not isinstance(written.layer, NothingWritten)
    assert [
        note for note in written.layer.notes if note.startswith("/w will belong to root: there is no user")
    ]


def test_files_of_here_documents(scene: Scene) -> None:
    scene.image_tree = {"d/": 0o700, "real": "x", "l": "-> real"}
    assert scene.make(WriteFile("/n/f", "name", b"new")) == {"n": NEW, "n/f": FILE}
    assert scene.make(WriteFile("/n/", "name", b"new")) == {"n": NEW, "n/name": FILE}
    assert scene.make(WriteFile("/d", "name", b"new")) == {"d": "700 0:0 /", "d/name": FILE}
    assert scene.make(WriteFile("/l", "name", b"new")) == {"real": FILE}
    assert scene.make(WriteFile("/f", "name", b"new", "755", Owner(5))) == {"f": "755 5:5 new"}
    assert scene.make(WriteFile("/f", "name", b"", "u+x")) == {"f": "744 0:0 "}


def test_what_is_wrong_leaves_one_sentence(scene: Scene) -> None:
    scene.context = {"f": "x"}
    for action in (copy("nope", "/"), copy("f", "/f/", mode="x"), copy("f", "/", owner=Owner("x"))):
        with pytest.raises(CortenError) as told:
            scene.make(action)
        assert "\n" not in told.value.message and len(told.value.message) < 200
