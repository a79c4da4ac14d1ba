"""A blob that is read while it is still being written: a download, followed by the worker that unpacks it.

The writer (a thread or the event loop of the engine) tells how far the file is valid, and in the end that
the whole was verified, or that it failed. The reader asks only when it has run out of bytes, so that no byte
is copied between the two: the page cache has them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class Growing:
    """Thread-safe. `path` is the file that grows; `final` the name that it gets when it is complete: whoever
    opens it tries the first, then the second. `total` is its size in the end. Whoever makes one ends it, by
    `finish` or by `fail`."""

    def __init__(self, path: str, final: str, total: int) -> None:
        self.path = path
        self.final = final
        self.total = total
        self._size = 0
        self._complete = False
        self._error: BaseException | None = None
        self._condition = threading.Condition()

    def advance(self, size: int) -> None:
        """The first `size` bytes are there now."""
        with self._condition:
            self._size = size
            self._condition.notify_all()

    def finish(self) -> None:
        """Nothing follows, and digest and size of the whole were verified."""
        with self._condition:
            self._complete = True
            self._condition.notify_all()

    def fail(self, error: BaseException) -> None:
        """Nothing follows; who waits gets `error`. Harmless after `finish`."""
        with self._condition:
            if not self._complete and self._error is None:
                self._error = error
                self._condition.notify_all()

    def wait(self, offset: int) -> tuple[int, bool]:
        """Blocks until more than `offset` bytes are there, or all: (valid bytes, whether that is all).
        Raises what `fail` was given."""
        with self._condition:
            while self._size <= offset and not self._complete and self._error is None:
                self._condition.wait()
            if self._error is not None:
                raise self._error
            return self._size, self._complete


class GrowingReader:
    """The other side, in a worker: reads the file up to where `ask(offset)` says that it is valid."""

    def __init__(self, path: str, final: str, ask: Callable[[int], tuple[int, bool]]) -> None:
        self._path = path
        self._final = final
        self._fd = -1  # a download that waits for its turn has no file
        self._ask = ask
        self._offset = 0
        self._valid = 0
        self._complete = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" only when the blob is complete and verified."""
        while self._offset >= self._valid:
            if self._complete:
                return b""
            self._valid, self._complete = self._ask(self._offset)
            if self._fd < 0:
                self._open()
        piece = os.pread(self._fd, min(size, self._valid - self._offset), self._offset)
        if not piece:
            raise OSError(f"the blob ends at {self._offset} instead of {self._valid} bytes")
        self._offset += len(piece)
        return piece

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = os.open(self._final, os.O_RDONLY | os.O_CLOEXEC)
