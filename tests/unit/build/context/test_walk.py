"""What a walk finds: patterns of the tree, patterns of the copy, and the directories that lead to things."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.context.walk import Walk
from corten.errors import Conflict, CortenError, InvalidArgument
from corten.snapshot.tree import remove_tree
from tests.unit.build.context.trees import plant, source

TREE = {
    "a/b/f": "1",
    "a/b/g.md": "2",
    "a/c/h": "3",
    "docs/x/README.md": "4",
    "docs/y": "5",
    "empty/": 0o755,
    "top.md": "6",
}


def found(
    root: Path,
    *,
    path: str = "",
    ignore: tuple[str, ...] = (),
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> list[str]:
    """Paths; directories with a slash, and those that only lead to something with `+`."""
    names = []
    for listing in Walk(source(root, ignore=ignore), include, exclude).directory(path):
        base = listing.relative + "/" if listing.relative else ""
        names.append((base or "/") + ("" if listing.selected else "+"))
        names += [base + file.name for file in listing.files]
    return names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "tree", TREE)


def test_everything_parents_first_by_name(root: Path) -> None:
    assert found(root) == [
        "/",
        "top.md",
        "a/",
        "a/b/",
        "a/b/f",
        "a/b/g.md",
        "a/c/",
        "a/c/h",
        "docs/",
        "docs/y",
        "docs/x/",
        "docs/x/README.md",
        "empty/",
    ]


def test_a_part_of_the_tree(root: Path) -> None:
    assert found(root, path="a/b") == ["/", "f", "g.md"]


def test_what_is_ignored_does_not_exist(root: Path) -> None:
    assert found(root, ignore=("a", "**/*.md")) == ["/", "docs/", "docs/y", "docs/x/", "empty/"]


def test_ignored_directories_are_there_for_what_is_excepted(root: Path) -> None:
    assert found(root, ignore=("*", "!a/b/f")) == ["/", "a/", "a/b/", "a/b/f"]
    assert found(root, ignore=("docs", "!docs/x/*.md")) == [
        "/", "top.md", "a/", "a/b/", "a/b/f", "a/b/g.md", "a/c/", "a/c/h",
        "docs/", "docs/x/", "docs/x/README.md", "empty/",
    ]  # fmt: skip


def test_patterns_of_the_tree_are_relative_to_its_root(root: Path) -> None:
    assert found(root, path="a", ignore=("a/b", "!a/b/f")) == ["/", "b/", "b/f", "c/", "c/h"]
    assert found(root, path="a/b", ignore=("a/b", "!a/b/f")) == ["/", "f"]
    assert found(root, path="a/b", ignore=("a",)) == []


def test_ignored_directories_are_not_entered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corten.build.context import walk

    opened: list[str] = []
    real = walk.open_directory

    def open_directory(fd: int, path: str) -> int:
        opened.append(path)
        return real(fd, path)

    monkeypatch.setattr(walk, "open_directory", open_directory)
    found(root, ignore=("a", "docs", "!docs/y"))
    assert opened == ["", "docs", "empty"]
    opened.clear()
    found(root, include=("a/c/*",))
    assert opened == ["", "a", "a/c"]


def test_only_what_is_included(root: Path) -> None:
    assert found(root, include=("a/*/f",)) == ["/", "a/+", "a/b/+", "a/b/f"]
    assert found(root, include=("a/b",)) == ["/", "a/+", "a/b/", "a/b/f", "a/b/g.md"]
    assert found(root, include=("**/*.md",)) == [
        "/", "top.md", "a/+", "a/b/+", "a/b/g.md", "docs/+", "docs/x/+", "docs/x/README.md",
    ]  # fmt: skip
    assert found(root, include=("nothing",)) == ["/"]


def test_without_what_is_excluded(root: Path) -> None:
    assert found(root, exclude=("a", "*.md", "docs/x")) == ["/", "docs/", "docs/y", "empty/"]
    assert found(root, exclude=("docs", "!docs/y")) == [
        "/", "top.md", "a/", "a/b/", "a/b/f", "a/b/g.md", "a/c/", "a/c/h", "docs/+", "docs/y", "empty/",
    ]  # fmt: skip


def test_all_patterns_together(root: Path) -> None:
    assert found(root, ignore=("docs/y",), include=("docs", "a"), exclude=("**/*.md", "a/c")) == [
        "/", "a/", "a/b/", "a/b/f", "docs/", "docs/x/",
    ]  # fmt: skip


def test_a_malformed_pattern_is_refused(root: Path) -> None:
    for patterns in ({"include": ("[",)}, {"exclude": ("[",)}, {"ignore": ("a[",)}):
        with pytest.raises(InvalidArgument, match="pattern"):
            found(root, **patterns)


def test_names_of_all_kinds(tmp_path: Path) -> None:
    names = [b"new\nline", b"\xff\xfe", "ünïcode".encode(), b" blank ", b"*?[", b"-", b"x" * 255]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(path)
        with open(os.path.join(path, name), "wb"):
            pass
    assert sorted(os.fsencode(name) for name in found(tmp_path)[1::2]) == sorted(
        name + b"/" for name in names
    )


def test_sockets_are_left_out_and_pipes_are_not_opened(short_tmp: Path) -> None:
    os.mkfifo(short_tmp / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_tmp / "socket"))
        assert found(short_tmp) == ["/", "pipe"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = plant(tmp_path / "outside", {"secret": "x"})
    tree = plant(tmp_path / "tree", {"f": "1", "l": "-> ../outside", "round": "-> .", "etc": "-> /etc"})
    assert found(tree) == ["/", "etc", "f", "l", "round"]
    assert outside.exists()


def deep(root: Path, name: str, levels: int) -> None:
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


@pytest.fixture
def removed(tmp_path: Path) -> Iterator[Path]:
    """A directory that pytest, which is recursive, need not remove."""
    path = tmp_path / "deep"
    path.mkdir()
    yield path
    remove_tree(str(path))


def test_a_deep_tree(removed: Path) -> None:
    deep(removed, "d", 600)
    assert len(found(removed)) == 601


def test_a_tree_that_is_too_deep_is_an_error_that_says_so(removed: Path) -> None:
    deep(removed, "d" * 200, 30)
    with pytest.raises(CortenError, match=r"cannot read .*too long"):
        found(removed)


def test_a_directory_that_becomes_a_link_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corten.build.context import walk

    real = walk.open_directory

    def open_directory(fd: int, path: str) -> int:
        if path == "docs":
            (root / "docs").rename(root / "moved")
            (root / "docs").symlink_to("/etc")
        return real(fd, path)

    monkeypatch.setattr(walk, "open_directory", open_directory)
    with pytest.raises(Conflict, match="'docs' in the build context changed"):
        found(root)


def test_it_can_be_stopped(root: Path) -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        list(Walk(source(root), stop=stop).directory(""))
