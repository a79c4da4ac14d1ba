"""What the sources of COPY select."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corten.build.context.selection import select
from corten.build.graph import Copy
from corten.errors import InvalidArgument, NotFound
from tests.unit.build.context.trees import plant, source

TREE = {
    "f": "1",
    "a1": "2",
    "a2": "3",
    "dir/x": "4",
    "dir/sub/y": "5",
    "d1/p": "6",
    "d2/q": "7",
    "link": "-> f",
    "dirlink": "-> dir",
    "out": "-> ../../etc/passwd",
    "hidden": "8",
    "some/x": "9",
    "some/y": "10",
}
IGNORE = ("hidden", "some", "!some/y")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "tree", TREE)


def names(root: Path, path: str, **fields: Any) -> list[str]:
    """Of each match its name, and what is in it."""
    found = []
    for match in select(source(root, ignore=IGNORE), Copy(1, path, "/", **fields)):
        if match.file is not None:
            found.append(f"{match.name}={match.directory}/{match.file.name}")
        else:
            files = [
                f"{one.relative}/{file.name}".lstrip("/") for one in match.listings for file in one.files
            ]
            found.append(f"{match.name}: {' '.join(files)}")
    return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("f", ["f=/f"]),
        ("/f/", ["f=/f"]),
        ("dir", ["dir: x sub/y"]),
        ("dir/sub/y", ["y=dir/sub/y"]),
        ("a*", ["a1=/a1", "a2=/a2"]),
        ("d?", ["d1: p", "d2: q"]),
        ("d*/?", ["p=d1/p", "q=d2/q", "x=dir/x"]),
        ("*/sub/*", ["y=dir/sub/y"]),
        ("link", ["link=/f"]),
        ("li*", ["link=/f"]),
        ("dirlink", ["dirlink: x sub/y"]),
        ("dirlink/s*", ["sub: y"]),
        ("hid*", []),
        ("nothing*", []),
        ("some", ["some: y"]),
        ("some/*", ["y=some/y"]),
    ],
)
def test_matches(root: Path, path: str, expected: list[str]) -> None:
    assert names(root, path) == expected


def test_the_root(root: Path) -> None:
    assert "hidden" not in names(root, "/")[0] and "dir" not in names(root, ".")[0].split(":")[0]


def test_links_may_be_kept(root: Path) -> None:
    assert names(root, "link", follow_links=False) == ["link=/link"]


@pytest.mark.parametrize("path", ["nothing", "dir/nothing", "f/x", "hidden", "some/x", "out"])
def test_what_is_not_there(root: Path, path: str) -> None:
    with pytest.raises(NotFound, match="is not in the build context"):
        names(root, path)


def test_the_reason_is_told(root: Path) -> None:
    with pytest.raises(NotFound, match=r"'/hidden' is not in the build context: its \.dockerignore"):
        names(root, "hidden")
    with pytest.raises(NotFound, match=r"did you mean sub\?"):
        names(root, "dir/subb")
    with pytest.raises(NotFound, match="'out' in the build context is a symbolic link to something"):
        names(root, "ou*")


def test_no_match_may_be_an_error(root: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing in the build context matches 'nothing\*'"):
        names(root, "nothing*", allow_missing=False)


def test_malformed_patterns(root: Path) -> None:
    with pytest.raises(InvalidArgument, match="malformed"):
        names(root, "a[")


def test_what_is_required(root: Path) -> None:
    assert names(root, "/", include=("dir/x",), required=("/dir/x",)) == [": dir/x"]
    for path in ("/dir/z", "/hidden"):
        with pytest.raises(NotFound, match="is not in the build context"):
            names(root, "/", include=(path[1:],), required=(path,))
