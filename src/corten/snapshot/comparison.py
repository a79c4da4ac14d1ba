"""Whether two forms of one layer are the same: an image byte by byte, directories file by file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from corten.snapshot.lookup import is_whiteout
from corten.snapshot.tree import show

_PIECE = 1 << 20


def difference(ours: Path, made: Path, names: tuple[str, ...]) -> str:
    """Where the layer in `ours` differs first from the one in `made`, in words; "" when nowhere. `names` are
    what to compare: files or directories, by name."""
    for name in names:
        mine, other = ours / name, made / name
        if not other.exists():
            continue
        if not mine.exists():
            return f"{name} is missing"
        found = _tree(mine, other) if other.is_dir() else _file(bytes(mine), bytes(other), name)
        if found:
            return found
    return ""


def _file(mine: bytes, other: bytes, shown: str) -> str:
    with open(mine, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:  # noqa: PTH123
        offset = 0
        while True:
            left, right = first.read(_PIECE), second.read(_PIECE)
            if left != right:
                ends = min(len(left), len(right))
                at = next((n for n in range(ends) if left[n] != right[n]), ends)
                return f"{shown} differs from what its blob gives at byte {offset + at}"
            if not left:
                return ""
            offset += len(left)


def _tree(mine: Path, other: Path) -> str:
    pending = [b""]
    first, second = os.fsencode(mine), os.fsencode(other)
    while pending:
        path = pending.pop()
        if found := _entry(first + path, second + path, path or b"/"):
            return found
        if not stat.S_ISDIR(os.lstat(second + path).st_mode):
            if found := _time(first + path, second + path, path):
                return found
            continue
        left, right = set(os.listdir(first + path)), set(os.listdir(second + path))
        for name in sorted(left ^ right):
            what = "is missing" if name in right else "does not belong there"
            return f"{show(path + b'/' + name)} {what}"
        if found := _time(first + path, second + path, path or b"/"):
            return found
        pending += [path + b"/" + name for name in sorted(right, reverse=True)]
    return ""


def _entry(mine: bytes, other: bytes, path: bytes) -> str:
    left, right = os.lstat(mine), os.lstat(other)
    kind = stat.S_IFMT(right.st_mode)
    aspects = [
        ("type", stat.S_IFMT(left.st_mode), kind),
        ("mode", stat.S_IMODE(left.st_mode), stat.S_IMODE(right.st_mode)),
        ("owner", (left.st_uid, left.st_gid), (right.st_uid, right.st_gid)),
        ("device number", left.st_rdev, right.st_rdev),
    ]
    if kind != stat.S_IFDIR:
        aspects += [("size", left.st_size, right.st_size), ("number of links", left.st_nlink, right.st_nlink)]
    for what, have, wanted in aspects:
        if have != wanted:
            return f"{show(path)} has another {what} than its blob gives"
    if _attributes(mine) != _attributes(other):
        return f"{show(path)} has other extended attributes than its blob gives"
    if kind == stat.S_IFLNK and os.readlink(mine) != os.readlink(other):
        return f"{show(path)} leads elsewhere than its blob says"
    if kind == stat.S_IFREG:
        return _file(mine, other, show(path))
    return ""


def _time(mine: bytes, other: bytes, path: bytes) -> str:
    """After the rest: who changes something else most often changes this too, and that says more."""
    left, right = os.lstat(mine), os.lstat(other)
    if left.st_mtime_ns == right.st_mtime_ns or is_whiteout(right, other):  # whose time means nothing
        return ""
    return f"{show(path)} has another time than its blob gives"


def _attributes(path: bytes) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
