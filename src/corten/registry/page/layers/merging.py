"""Two images' lists of layers → what one has to do to the files of the first to get those of the second.

Layers are laid one over the other as OCI's image-spec has it (layer.md, "Representing Changes").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from corten.registry.page.layers.list_file import FileEntry, ListFile

SHOWN = 500
"""Rows of each kind that are kept, the largest first."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """A path that differs. `what` tells of which is kept what changed: content, type, link, mode, owner."""

    path: bytes
    kind: str
    before: int
    after: int
    what: str = ""


class Changes(msgspec.Struct, frozen=True):
    """One kind of difference: how many files, how many bytes before and after, and the largest of them."""

    count: int = 0
    before: int = 0
    after: int = 0
    rows: list[Change] = []


class Comparison(msgspec.Struct, frozen=True):
    """`problem` is why it is not complete, or ""."""

    added: Changes = Changes()
    changed: Changes = Changes()
    removed: Changes = Changes()
    problem: str = ""


class _Node:
    """A path; without an entry, a directory that no layer describes."""

    __slots__ = ("below", "entry")

    def __init__(self, entry: FileEntry | None = None) -> None:
        self.entry = entry
        self.below: dict[bytes, _Node] = {}


def compare(before: Sequence[str], after: Sequence[str], most: int) -> Comparison:
    """Compares the files of two images, given as paths of their layers' lists, the lowest first. Images with
    more than `most` entries are not compared."""
    problems: list[str] = []
    budget = most
    trees = []
    for chain in (before, after):
        root = _Node()
        for path in chain:
            with ListFile(path) as found:
                budget -= found.summary.count
                if budget < 0:
                    return Comparison(problem=f"They have more than {most:,} files, too many to be compared.")
                if found.summary.problem and found.summary.problem not in problems:
                    problems.append(found.summary.problem)
                _lay(root, found)
        trees.append(root)
    rows: dict[str, list[Change]] = {"added": [], "changed": [], "removed": []}
    for kind, change in _differences(*trees):
        rows[kind].append(change)
    return Comparison(
        _changes(rows["added"]), _changes(rows["changed"]), _changes(rows["removed"]), "; ".join(problems[:3])
    )


def _changes(rows: list[Change]) -> Changes:
    rows.sort(key=lambda row: (-max(row.before, row.after), row.path))
    return Changes(len(rows), sum(row.before for row in rows), sum(row.after for row in rows), rows[:SHOWN])


def _lay(root: _Node, entries: ListFile) -> None:
    """One layer over what is there. Its whiteouts are for the layers below it, wherever they stand in it."""
    own: list[FileEntry] = []
    for entry in entries:
        if entry.kind == "opaque":
            node = _find(root, entry.path)
            if node is not None:
                node.below.clear()
        elif entry.kind == "removed":
            parent, _, name = entry.path.rpartition(b"/")
            node = _find(root, parent)
            if node is not None:
                node.below.pop(name, None)
        else:
            own.append(entry)
    for entry in own:
        node = root
        *parents, name = entry.path.split(b"/")
        for part in parents:
            node = node.below.setdefault(part, _Node())
        known = node.below.get(name)
        if known is not None and entry.kind == "dir" and (known.entry is None or known.entry.kind == "dir"):
            known.entry = entry
        else:
            node.below[name] = _Node(entry)


def _find(root: _Node, path: bytes) -> _Node | None:
    node: _Node | None = root
    for part in path.split(b"/") if path else ():
        node = node.below.get(part) if node is not None else None
    return node


def _differences(before: _Node, after: _Node) -> Iterator[tuple[str, Change]]:
    pending: list[tuple[bytes, _Node | None, _Node | None]] = [(b"", before, after)]
    while pending:
        path, left, right = pending.pop()
        if path:
            yield from _difference(path, left, right)
        names = {**(left.below if left else {}), **(right.below if right else {})}
        for name in names:
            pending.append(
                (
                    path + b"/" + name if path else name,
                    left.below.get(name) if left else None,
                    right.below.get(name) if right else None,
                )
            )


def _difference(path: bytes, left: _Node | None, right: _Node | None) -> Iterator[tuple[str, Change]]:
    old = left.entry if left is not None else None
    new = right.entry if right is not None else None
    if old is None and new is not None:
        # A directory that holds something is told by what it holds.
        if new.kind != "dir" or (right is not None and not right.below):
            yield "added", Change(path, new.kind, 0, new.size)
    elif new is None and old is not None:
        if right is None and (old.kind != "dir" or (left is not None and not left.below)):
            yield "removed", Change(path, old.kind, old.size, 0)
    elif old is not None and new is not None and (what := _what(old, new)):
        yield "changed", Change(path, new.kind, old.size, new.size, what)


def _what(old: FileEntry, new: FileEntry) -> str:
    if old.kind != new.kind and {old.kind, new.kind} != {"file", "hardlink"}:
        return f"{old.kind} → {new.kind}"
    parts = []
    if old.content and new.content and old.content != new.content:
        parts.append("content")
    if old.kind == new.kind and old.link != new.link:
        parts.append("link")
    if old.mode != new.mode:
        parts.append(f"mode {old.mode:04o} → {new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        parts.append(f"owner {old.uid}:{old.gid} → {new.uid}:{new.gid}")
    return ", ".join(parts)
