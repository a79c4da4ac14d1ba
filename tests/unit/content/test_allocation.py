"""The same sums as du(1), whatever kind of file there is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from corten.content.allocation import allocated


def du(*paths: Path) -> int:
    output = subprocess.run(["du", "-sxcB1", *paths], check=True, capture_output=True, text=True).stdout
    return int(output.splitlines()[-1].split()[0])


def test_as_du(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/plain").write_bytes(os.urandom(100_000))
    with open(tree / "a/sparse", "wb") as sparse:
        sparse.truncate(1 << 30)
        sparse.seek(500_000_000)
        sparse.write(b"x")
    (tree / "a/b/hard").hardlink_to(tree / "a/plain")
    (tree / "a/b/c/link").symlink_to("/" + "long/" * 60)
    for number in range(300):
        (tree / f"a/b/c/small{number}").write_bytes(b"x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "outside").hardlink_to(tree / "a/plain")
    os.mkfifo(other / "fifo")
    os.sync()
    assert allocated([tree]) == du(tree)
    assert allocated([tree, other]) == du(tree, other)
    assert allocated([tree]) < 50 << 20
    seen: set[tuple[int, int]] = set()
    assert allocated([tree], seen) + allocated([other], seen) == du(tree, other)
    assert allocated([tree / "a/plain"]) == du(tree / "a/plain")


def test_what_is_not_there(tmp_path: Path) -> None:
    assert allocated([tmp_path / "no"]) == 0
