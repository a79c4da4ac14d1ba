"""The tree that a stack of layers makes, file by file: which layer each comes from, and what it hides below.

The layers are looked at one by one, not through an overlay: that would not tell where a file is from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corten.errors import NotFound
from corten.snapshot.lookup import is_whiteout
from corten.snapshot.overlay_marks import is_opaque
from corten.snapshot.tree import show

TYPES = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a layer has, and a layer above it hides. `layer` counts from 1, the lowest."""

    layer: int
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the merged tree. `path` is absolute; `mode` has the permission bits; `target` is a symbolic
    link's; `shadows` goes topmost first. With the type "deleted" it is not in the tree: `layer` hides it."""

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    layer: int
    target: str = ""
    shadows: tuple[Hidden, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    layer: int
    place: bytes
    status: os.stat_result


def browse(lowers: Sequence[str], path: str = "/", *, deleted: bool = False) -> Iterator[Entry]:
    """`path` and everything below it, parents first, names in order; `lowers` go topmost first. Links in
    `path` are not followed. With `deleted`, what upper layers delete, too. NotFound."""
    here = [_Found(len(lowers) - n, os.fsencode(lower), os.lstat(lower)) for n, lower in enumerate(lowers)]
    parts = [part for part in os.fsencode(path).split(b"/") if part and part != b"."]
    whole = b""
    for position, part in enumerate(parts):
        whole += b"/" + part
        found = _children(here, part).get(part)
        if found is None or _is_gone(found[0]):
            raise NotFound(f"the image has no {show(whole)}")
        top = found[0]
        if position + 1 == len(parts) or stat.S_ISDIR(top.status.st_mode):
            here = found
            continue
        if stat.S_ISLNK(top.status.st_mode):
            target = os.fsdecode(os.readlink(top.place))
            raise NotFound(f"{show(whole)} is a symbolic link to {target!r} in the image: browse that")
        raise NotFound(f"{show(whole)} is no directory in the image")
    yield from _below(whole, here, deleted)


def _below(path: bytes, found: list[_Found], deleted: bool) -> Iterator[Entry]:
    """Iterative: a tree may be deeper than Python's stack."""
    pending = [(path, found)]
    while pending:
        path, found = pending.pop()
        if _is_gone(found[0]):
            hidden = _until_whiteout(found[1:])
            if deleted and hidden:
                yield _entry(path, found[0], "deleted", hidden)
            continue
        if not stat.S_ISDIR(found[0].status.st_mode):
            yield _entry(path, found[0], _type(found[0]), _until_whiteout(found[1:]))
            continue
        merged, hidden = _merge(found)
        yield _entry(path or b"/", found[0], "directory", hidden)
        children = _children(merged)
        pending += [(path + b"/" + name, children[name]) for name in sorted(children, reverse=True)]


def _children(directories: list[_Found], only: bytes | None = None) -> dict[bytes, list[_Found]]:
    """By name what the directories (topmost first) that make one merged directory have."""
    found: dict[bytes, list[_Found]] = {}
    for directory in _merge(directories)[0] if only is not None else directories:
        names = [only] if only is not None else os.listdir(directory.place)
        for name in names:
            place = directory.place + b"/" + name
            try:
                item = _Found(directory.layer, place, os.lstat(place))
            except FileNotFoundError:
                continue
            found.setdefault(name, []).append(item)
    return found


def _merge(found: list[_Found]) -> tuple[list[_Found], list[_Found]]:
    """The directories that are merged into one, and what the last of them hides."""
    merged: list[_Found] = []
    for position, item in enumerate(found):
        if not stat.S_ISDIR(item.status.st_mode):
            return merged, _until_whiteout(found[position:])
        merged.append(item)
        if is_opaque(os.fsdecode(item.place)):
            return merged, _until_whiteout(found[position + 1 :])
    return merged, []


def _until_whiteout(found: list[_Found]) -> list[_Found]:
    """What is below a whiteout, the whiteout hides."""
    hidden = []
    for item in found:
        if _is_gone(item):
            break
        hidden.append(item)
    return hidden


def _is_gone(item: _Found) -> bool:
    return is_whiteout(item.status, item.place)


def _type(item: _Found) -> str:
    return TYPES.get(stat.S_IFMT(item.status.st_mode), "unknown")


def _entry(path: bytes, item: _Found, kind: str, hidden: list[_Found]) -> Entry:
    status = item.status
    return Entry(
        path=path.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode(),
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=_size(item) if kind != "deleted" else 0,
        mtime_ns=status.st_mtime_ns,
        layer=item.layer,
        target=os.fsdecode(os.readlink(item.place)).encode("utf-8", "backslashreplace").decode()
        if kind == "symlink"
        else "",
        shadows=tuple(Hidden(below.layer, _type(below), _size(below)) for below in hidden),
    )


def _size(item: _Found) -> int:
    return item.status.st_size if stat.S_ISREG(item.status.st_mode) else 0
