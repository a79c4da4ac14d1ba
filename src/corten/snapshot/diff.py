"""What a container changed: an upper directory against the layers below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from corten.snapshot.lookup import find_below, is_whiteout, names_below
from corten.snapshot.overlay_marks import is_opaque

MODIFIED, ADDED, DELETED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is 0 for modified ("C"), 1 for added ("A"), 2 for deleted ("D"), as Docker's API counts."""

    path: str
    kind: int

    @property
    def letter(self) -> str:
        """C, A or D."""
        return "CAD"[self.kind]


def changes(upper: str, lowers: Sequence[str]) -> list[Change]:
    """The changes in `upper` (an overlay's upperdir) over `lowers` (topmost first), in Docker's order:
    depth first, by name; a directory whose contents changed stands before them even when it did not change
    itself."""
    found = _Changes(os.fsencode(upper), [os.fsencode(lower) for lower in lowers])
    found.directory(b"")
    return [Change("/" + os.fsdecode(path), kind) for path, kind in found.result]


class _Changes:
    def __init__(self, upper: bytes, lowers: Sequence[bytes]) -> None:
        self._upper = upper
        self._lowers = lowers
        self._told: set[bytes] = set()
        self.result: list[tuple[bytes, int]] = []

    def directory(self, top: bytes) -> None:
        """Everything beneath `top`, without recursion: a container may nest deeper than Python's stack."""
        pending = self._children(top)
        while pending:
            path = pending.pop()
            if self._file(path):
                pending += self._children(path)

    def _children(self, path: bytes) -> list[bytes]:
        """Full relative names, the first one last; names that an opaque directory hides are among them."""
        full = self._upper + b"/" + path
        names = set(os.listdir(full))
        if path and is_opaque(os.fsdecode(full)):
            names |= names_below(path, self._lowers)
        return [(path + b"/" if path else b"") + name for name in sorted(names, reverse=True)]

    def _file(self, path: bytes) -> bool:
        """Notes what became of one file; True for a directory of the upper layer."""
        full = self._upper + b"/" + path
        try:
            status = os.lstat(full)
        except FileNotFoundError:  # hidden by an opaque directory
            self._tell(path, DELETED)
            return False
        if is_whiteout(status, full):
            if find_below(path, self._lowers) is not None:
                self._tell(path, DELETED)
            return False
        below = find_below(path, self._lowers)
        is_directory = stat.S_ISDIR(status.st_mode)
        if below is None:
            self._tell(path, ADDED)
        else:
            old = os.lstat(below)
            if not (is_directory and stat.S_ISDIR(old.st_mode) and _same(status, old)):
                self._tell(path, MODIFIED)
        return is_directory

    def _tell(self, path: bytes, kind: int) -> None:
        parents = path.split(b"/")[:-1]
        for end in range(1, len(parents) + 1):
            parent = b"/".join(parents[:end])
            if parent not in self._told:
                self._told.add(parent)
                self.result.append((parent, MODIFIED))
        self._told.add(path)
        self.result.append((path, kind))


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) == (
        other.st_mode,
        other.st_uid,
        other.st_gid,
        other.st_mtime_ns,
    )
