"""What files take on disk: their blocks, as du(1) counts. A sparse file takes less than its size, a small one
more; a file with several names counts once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_BLOCK = 512


def allocated(paths: Iterable[Path], seen: set[tuple[int, int]] | None = None) -> int:
    """Bytes that the files and trees at `paths` take together; what is mounted below them does not count.
    `seen` has the (device, inode) of what was counted before, and gets more. What goes away meanwhile is left
    out."""
    seen = set() if seen is None else seen
    total = 0
    for path in paths:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if status.st_nlink > 1 and not _is_new(status, seen):
            continue
        total += status.st_blocks * _BLOCK
        if os.path.isdir(path) and not os.path.islink(path):
            total += _tree(os.fspath(path), status.st_dev, seen)
    return total


def _tree(root: str, device: int, seen: set[tuple[int, int]]) -> int:
    total = 0
    pending = [root]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_dev != device:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif status.st_nlink > 1 and not _is_new(status, seen):
                    continue
                total += status.st_blocks * _BLOCK
    return total


def _is_new(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True
