"""A, C and D of an upper directory, as overlay would have left it."""

import os
from pathlib import Path

import pytest

from corten.snapshot.diff import changes
from corten.snapshot.implied import complete
from tests.unit.snapshot.archives import directory, member, symlink, tar_of, unpack


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path, Path]:
    """upper, top, bottom."""
    unpack(
        tar_of(
            [
                directory("etc"),
                member("etc/a", b"a"),
                member("etc/b"),
                directory("lib"),
                member("lib/x"),
                member("old"),
            ]
        ),
        tmp_path / "bottom",
    )
    done = unpack(tar_of([member("etc/c"), member(".wh.old")]), tmp_path / "top")
    complete(str(tmp_path / "top"), done.implied, [str(tmp_path / "bottom")])
    return tmp_path / "upper", tmp_path / "top", tmp_path / "bottom"


def diff(layers: tuple[Path, Path, Path]) -> list[str]:
    upper, *lowers = layers
    return [
        f"{change.letter} {change.path}" for change in changes(str(upper), [str(lower) for lower in lowers])
    ]


def test_nothing(layers: tuple[Path, Path, Path]) -> None:
    layers[0].mkdir()
    assert diff(layers) == []


def test_added_changed_and_deleted(layers: tuple[Path, Path, Path]) -> None:
    unpack(
        tar_of(
            [
                directory("etc"),
                member("etc/a", b"new"),
                member("etc/.wh.b"),
                member("etc/d"),
                directory("new"),
                symlink("new/l", "x"),
                member("old", b"again"),
            ]
        ),
        layers[0],
    )
    assert diff(layers) == ["C /etc", "C /etc/a", "D /etc/b", "A /etc/d", "A /new", "A /new/l", "A /old"]


def test_a_directory_that_only_came_along_is_told_with_what_changed_in_it(
    layers: tuple[Path, Path, Path],
) -> None:
    unpack(tar_of([directory("etc"), directory("lib")]), layers[0])
    for name in ("etc", "lib"):
        below = (layers[2] / name).stat()
        os.utime(layers[0] / name, ns=(0, below.st_mtime_ns))
    assert diff(layers) == []
    (layers[0] / "etc/n").write_text("")
    os.utime(layers[0] / "etc", ns=(0, (layers[2] / "etc").stat().st_mtime_ns))
    assert diff(layers) == ["C /etc", "A /etc/n"]


def test_a_whiteout_of_nothing_is_no_change(layers: tuple[Path, Path, Path]) -> None:
    unpack(tar_of([member(".wh.old"), member(".wh.never")]), layers[0])
    assert diff(layers) == []


def test_what_an_opaque_directory_hides_is_deleted(layers: tuple[Path, Path, Path]) -> None:
    unpack(
        tar_of([directory("etc", mtime=5), member("etc/.wh..wh..opq"), member("etc/b", b"new")]), layers[0]
    )
    assert diff(layers) == ["C /etc", "D /etc/a", "C /etc/b", "D /etc/c"]


def test_a_file_in_a_directorys_place(layers: tuple[Path, Path, Path]) -> None:
    unpack(tar_of([member("etc", b"file")]), layers[0])
    assert diff(layers) == ["C /etc"]
