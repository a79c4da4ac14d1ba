"""Digests of files' contents: known from earlier, or worked out now, with a check that nothing changes
meanwhile.

The digest of a file that has extended attributes covers them as well: their changes show in the ctime.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from corten.build.context.ahead import open_seen, opened_ahead
from corten.build.context.attributes import read_attributes
from corten.build.context.beneath import Directories, changed, explain
from corten.build.context.model import SourceTree, Stop
from corten.build.context.seen_file import SeenFile

PIECE = 1 << 20

Wanted = tuple[str, SeenFile]
"""A file, and the path of its directory."""

_LARGE = 4 << 20
_THREADS = 4


class ContentDigests:
    """What is known of the contents of a tree's files during one operation."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._found: dict[bytes, bytes] = {}

    def find(self, file: SeenFile) -> bytes | None:
        """32 bytes, or None."""
        digest = self._found.get(file.key)
        if digest is None and self.tree.contents is not None:
            digest = self.tree.contents.find(file.key)
        return digest

    def add(self, file: SeenFile, digest: bytes, seen_ns: int) -> None:
        """`seen_ns`: when the file was looked at, before it was read."""
        self._found[file.key] = digest
        if self.tree.contents is not None:
            self.tree.contents.add(file.key, digest, seen_ns)

    def complete(self, files: Iterable[Wanted], *, stop: Stop | None = None) -> None:
        """Reads those of `files` that are not known. Conflict when one changes meanwhile."""
        missing: dict[bytes, Wanted] = {}
        for wanted in files:
            if wanted[1].key not in missing and self.find(wanted[1]) is None:
                missing[wanted[1].key] = wanted
        if missing:
            _Reading(self, stop).all([*missing.values()])


class _Reading:
    def __init__(self, digests: ContentDigests, stop: Stop | None) -> None:
        self._digests = digests
        self._tree = digests.tree
        self._stop = stop

    def all(self, missing: list[Wanted]) -> None:
        """Large files are hashed side by side. Small ones are not: what they cost is the interpreter's work,
        of which one thread does as much as several."""
        large = [wanted for wanted in missing if wanted[1].size >= _LARGE]
        small = [wanted for wanted in missing if wanted[1].size < _LARGE]
        if len(missing) == 1 or not large:
            self._some(missing)
            return
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="hash") as pool:
            try:
                futures = [pool.submit(self._some, [wanted]) for wanted in large]
                self._some(small)
                for future in as_completed(futures):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _some(self, wanted: Sequence[Wanted]) -> None:
        """One after the other."""
        directories = Directories(self._tree.root)

        def open_wanted(wanted: Wanted) -> int:
            return open_seen(directories, *wanted, self._tree.name)

        try:
            with contextlib.closing(opened_ahead(wanted, open_wanted)) as opened:
                for (directory, file), fd in opened:
                    assert fd is not None
                    try:
                        self._one(fd, file, f"{directory}/{file.name}" if directory else file.name)
                    finally:
                        os.close(fd)
        finally:
            directories.close()

    def _one(self, fd: int, file: SeenFile, path: str) -> None:
        now = time.time_ns()
        try:
            check(fd, file, path, self._tree.name)
            digest = hashlib.sha256()
            left = file.size
            while left > 0 and (piece := os.read(fd, min(left, PIECE))):
                digest.update(piece)
                left -= len(piece)
                if self._stop is not None:
                    self._stop()
            attributes = read_attributes(fd)
            check(fd, file, path, self._tree.name)
        except OSError as error:
            raise explain(error, path, self._tree.name) from error
        if left:
            raise changed(path, self._tree.name)
        self._digests.add(file, with_attributes(digest.digest(), attributes), now)


def check(fd: int, file: SeenFile, path: str, tree: str) -> os.stat_result:
    """The status of the open file; Conflict, unless it is the one that was seen, as it was."""
    status = os.fstat(fd)
    if not file.is_still(status):
        raise changed(path, tree)
    return status


def with_attributes(content: bytes, attributes: dict[bytes, bytes] | None) -> bytes:
    """The digest of a file, of that of its content."""
    if not attributes:
        return content
    return hashlib.sha256(content + attributes_digest(attributes)).digest()


def attributes_digest(attributes: dict[bytes, bytes] | None) -> bytes:
    """32 bytes; zeros for none."""
    if not attributes:
        return bytes(32)
    digest = hashlib.sha256()
    for name, value in sorted(attributes.items()):
        digest.update(b"%d %d " % (len(name), len(value)) + name + value)
    return digest.digest()
