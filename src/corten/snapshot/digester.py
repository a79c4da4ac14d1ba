"""Hashing beside everything else: hashlib lets go of the interpreter's lock, so a thread gives it a core of
its own while the layer is inflated, parsed and written."""

from __future__ import annotations

import hashlib
import queue
import threading
from types import TracebackType

_AHEAD = 2


class Digester:
    """As hashlib's objects, for data in large pieces, at most a few of which wait. A context: leaving it
    ends the thread, whatever was asked before."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._work, name="digest", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        """Hashes `data`, which must not change, some time."""
        self._queue.put(data)

    def hexdigest(self) -> str:
        """Of all that was given; nothing can be added then."""
        self._end()
        return self._hash.hexdigest()

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            self._hash.update(data)

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def __enter__(self) -> Digester:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
