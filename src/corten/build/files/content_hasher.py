"""Digests of large files' contents, worked out by a thread while the files are copied."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable

_AHEAD = 4

Done = Callable[[bytes], None]


class ContentHasher:
    """One file after the other: `update` with its pieces, then `finish`, whose `done` is called with the
    digest by the thread. A context: leaving it waits for what was given."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | Done | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None

    def update(self, piece: bytes) -> None:
        """Some more of the file."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="content-digest", daemon=True)
            self._thread.start()
        self._queue.put(piece)

    def finish(self, done: Done) -> None:
        """The end of the file."""
        self._queue.put(done)

    def _work(self) -> None:
        digest = hashlib.sha256()
        while (item := self._queue.get()) is not None:
            if isinstance(item, bytes):
                digest.update(item)
            else:
                item(digest.digest())
                digest = hashlib.sha256()

    def __enter__(self) -> ContentHasher:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
