"""Digests of files' contents: known from earlier, or worked out now, with a check that nothing changes
meanwhile.

The digest of a file that has extended attributes covers them as well: their changes show in the ctime.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from corten.build.context.attributes import read_attributes
from corten.build.context.beneath import Directories, changed, explain, open_file
from corten.build.context.model import SourceTree, Stop
from corten.build.context.stat_cache import stat_key

PIECE = 1 << 20

Wanted = tuple[str, str, os.stat_result]
"""A file: the path of its directory, its name, what the walk saw."""

_LARGE = 4 << 20
_TOGETHER = 128
_THREADS = 4
# Files whose directory entries and data are in memory take a fifth of this; others wait for the disk.
_SLOW_SECONDS = 60e-6


class ContentDigests:
    """What is known, by stat key, of the contents of a tree's files during one operation."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._found: dict[bytes, bytes] = {}

    def find(self, status: os.stat_result) -> bytes | None:
        """32 bytes, or None."""
        key = stat_key(status)
        digest = self._found.get(key)
        if digest is None and self.tree.contents is not None:
            digest = self.tree.contents.find(key)
        return digest

    def add(self, status: os.stat_result, digest: bytes, seen_ns: int) -> None:
        """`seen_ns`: when the file was looked at, before it was read."""
        self._found[stat_key(status)] = digest
        if self.tree.contents is not None:
            self.tree.contents.add(status, digest, seen_ns)

    def complete(self, files: Iterable[Wanted], *, stop: Stop | None = None) -> None:
        """Reads those of `files` that are not known. Conflict when one changes meanwhile."""
        missing: list[Wanted] = []
        seen: set[bytes] = set()
        for wanted in files:
            key = stat_key(wanted[2])
            if key not in seen and self.find(wanted[2]) is None:
                seen.add(key)
                missing.append(wanted)
        if missing:
            _Reading(self, stop).all(missing)


class _Reading:
    def __init__(self, digests: ContentDigests, stop: Stop | None) -> None:
        self._digests = digests
        self._tree = digests.tree
        self._stop = stop

    def all(self, missing: list[Wanted]) -> None:
        """Large files are hashed side by side. Small ones are not, unless the disk makes them wait: what
        they cost is the interpreter's work, of which one thread does as much as several."""
        large = [wanted for wanted in missing if wanted[2].st_size >= _LARGE]
        small = [wanted for wanted in missing if wanted[2].st_size < _LARGE]
        portions = [small[start : start + _TOGETHER] for start in range(0, len(small), _TOGETHER)]
        if not large and len(portions) <= 1:
            self.some(small)
            return
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="hash") as pool:
            futures: list[Future[None]] = [pool.submit(self.some, [wanted]) for wanted in large]
            try:
                for position, portion in enumerate(portions):
                    before = time.perf_counter()
                    self.some(portion)
                    if time.perf_counter() - before > _SLOW_SECONDS * len(portion):
                        futures += [pool.submit(self.some, rest) for rest in portions[position + 1 :]]
                        break
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def some(self, wanted: Sequence[Wanted]) -> None:
        """One after the other."""
        directories = Directories(self._tree.root)
        try:
            for directory, name, status in wanted:
                if self._stop is not None:
                    self._stop()
                self._one(directories, directory, name, status)
        finally:
            directories.close()

    def _one(self, directories: Directories, directory: str, name: str, status: os.stat_result) -> None:
        path = f"{directory}/{name}" if directory else name
        seen = time.time_ns()
        try:
            fd = open_file(directories(directory), name)
        except OSError as error:
            raise explain(error, path, self._tree.name) from error
        try:
            check(fd, status, path, self._tree.name)
            digest = hashlib.sha256()
            left = status.st_size
            while left > 0 and (piece := os.read(fd, min(left, PIECE))):
                digest.update(piece)
                left -= len(piece)
                if self._stop is not None and left:
                    self._stop()
            attributes = read_attributes(fd)
            check(fd, status, path, self._tree.name)
        except OSError as error:
            raise explain(error, path, self._tree.name) from error
        finally:
            os.close(fd)
        if left:
            raise changed(path, self._tree.name)
        self._digests.add(status, with_attributes(digest.digest(), attributes), seen)


def check(fd: int, status: os.stat_result, path: str, tree: str) -> None:
    """Conflict, unless the open file is the one that was seen, as it was."""
    now = os.fstat(fd)
    if (
        now.st_ctime_ns != status.st_ctime_ns
        or now.st_mtime_ns != status.st_mtime_ns
        or now.st_size != status.st_size
        or now.st_ino != status.st_ino
        or now.st_mode != status.st_mode
        or now.st_dev != status.st_dev
    ):
        raise changed(path, tree)


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
