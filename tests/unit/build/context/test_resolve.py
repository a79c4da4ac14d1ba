"""Paths in a tree: links lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corten.build.context.resolve import resolve
from corten.errors import InvalidArgument
from tests.unit.build.context.trees import plant, source


@pytest.fixture
def root(tmp_path: Path) -> int:
    (tmp_path / "outside").write_text("secret")
    description = {
        "dir/sub/file": "x",
        "up": "-> ../../../outside",
        "absolute": "-> /dir/sub",
        "relative": "-> dir/../dir/sub",
        "chain": "-> relative",
        "round": "-> round",
        "dangling": "-> nothing/here",
        "dir/self": "-> .",
    }
    return source(plant(tmp_path / "tree", description)).root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("dir/sub/file", "dir/sub/file"),
        ("/dir//sub/./file", "dir/sub/file"),
        ("absolute/file", "dir/sub/file"),
        ("chain", "dir/sub"),
        ("chain/../sub", "dir/sub"),
        ("dir/self/self/self/sub", "dir/sub"),
        ("../../dir", "dir"),
        ("dir/sub/..", "dir"),
    ],
)
def test_where_paths_lead(root: int, path: str, expected: str) -> None:
    place = resolve(root, path)
    assert place is not None and place.path == expected


@pytest.mark.parametrize("path", ["up", "dangling", "nothing", "dir/sub/file/x", "dir/nothing/x"])
def test_what_is_not_there(root: int, path: str) -> None:
    assert resolve(root, path) is None


def test_a_link_at_the_end_may_be_kept(root: int) -> None:
    place = resolve(root, "dir/../chain", follow=False)
    assert place is not None and place.path == "chain" and os.path.stat.S_ISLNK(place.status.st_mode)


def test_links_that_go_round_are_refused(root: int) -> None:
    with pytest.raises(InvalidArgument, match="goes round"):
        resolve(root, "round/x")
