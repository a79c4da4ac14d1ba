"""Where a worker reads a layer's blob from: the store, a download that is still going on, or an archive."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from corten.errors import ArchiveError
from corten.linux.page_cache import ReadOnce, WriteBehind
from corten.snapshot.digester import Digester
from corten.snapshot.growing import GrowingReader
from corten.snapshot.inflate import PIECE

Growth = Callable[[int], tuple[int, bool]]
"""Waits until more than `offset` bytes of a growing blob are there: (valid bytes, complete)."""


class Source(Protocol):
    """A blob of `total` bytes. `algorithm` is what `finish` tells the digest by; empty when it tells none."""

    total: int
    algorithm: str

    def read(self, size: int) -> bytes: ...

    def finish(self) -> str:
        """Call it when the layer has ended: reads to the blob's end where that is not verified before; the
        digest of the blob, or nothing."""
        ...


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """What a worker is told of a blob. `blob` is its path, unless `archive` says (descriptor, offset, size):
    then it is hashed by `keep_algorithm` and stored in the new file `keep`. With `final` it is growing, to
    `total` bytes, and will have that name."""

    blob: str = ""
    final: str = ""
    total: int = 0
    archive: tuple[int, ...] = ()
    keep: str = ""
    keep_algorithm: str = ""

    @contextlib.contextmanager
    def open(self, growth: Growth) -> Iterator[Source]:
        """The source, for the time of the block."""
        if self.archive:
            with Digester(self.keep_algorithm) as digester:
                intake = Intake(self.archive, self.keep, digester)
                try:
                    yield intake
                finally:
                    intake.close()
            return
        total = self.total if self.final else os.stat(self.blob).st_size
        reader = GrowingReader(
            self.blob, self.final or self.blob, growth if self.final else lambda offset: (total, True)
        )
        try:
            yield _InStore(reader, total, growing=bool(self.final))
        finally:
            reader.close()


class _InStore:
    """A blob of the store, or one on its way there: whoever writes it verifies it."""

    algorithm = ""

    def __init__(self, reader: GrowingReader, total: int, *, growing: bool) -> None:
        self.total = total
        self.read = reader.read
        self._growing = growing

    def finish(self) -> str:
        while self._growing and self.read(PIECE):
            pass  # nothing counts before a growing blob is verified as a whole
        return ""


class Intake:
    """A blob in an archive, on its way into the store: each byte is read once, hashed, written, and handed
    on. So what was hashed is what is stored and unpacked, whoever changes the archive meanwhile."""

    def __init__(self, part: tuple[int, ...], keep: str, digester: Digester) -> None:
        fd, self._offset, self.total = part
        self._end = self._offset + self.total
        self._source = ReadOnce(fd)
        self._digester = digester
        self.algorithm = digester.algorithm
        self._written = 0
        self._fd = os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._behind = WriteBehind(self._fd)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end; ArchiveError when the archive ends before."""
        if self._offset == self._end:
            return b""
        piece = self._source.pread(min(size, self._end - self._offset), self._offset)
        if not piece:
            raise ArchiveError("the image archive cannot be read: it ends in the middle (truncated)")
        self._offset += len(piece)
        self._digester.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(piece)
        self._behind.advance(self._written)
        return piece

    def finish(self) -> str:
        """See Source. The file is not synced."""
        while self.read(PIECE):
            pass
        return f"{self.algorithm}:{self._digester.hexdigest()}"

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)
