"""Inflating beside parsing and writing: the next pieces of a layer are made by a thread while the last one is
used. Decompressors let go of the interpreter's lock."""

from __future__ import annotations

import queue
import threading
from types import TracebackType

from corten.snapshot.inflate import PIECE, Read

_AHEAD = 2


class ReadAhead:
    """A Read over another, which is called in a thread of its own and nowhere else. A context: leaving it
    waits for the call that is going on, and ends the thread."""

    def __init__(self, read: Read) -> None:
        self._source = read
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._pieces: queue.SimpleQueue[tuple[bytes, BaseException | None]] = queue.SimpleQueue()
        self._stopped = False
        self._end: tuple[bytes, BaseException | None] | None = None
        for _ in range(_AHEAD):
            self._wanted.put(True)
        self._thread = threading.Thread(target=self._work, name="read-ahead", daemon=True)
        self._thread.start()

    def read(self, size: int = PIECE) -> bytes:
        """Some bytes, however many were asked for; b"" at the end; raises what the other Read raised."""
        piece, error = self._end or self._pieces.get()
        if error is not None or not piece:
            self._end = piece, error
        else:
            self._wanted.put(True)
        if error is not None:
            raise error
        return piece

    def _work(self) -> None:
        while self._wanted.get() and not self._stopped:
            try:
                piece = self._source(PIECE)
            except BaseException as error:
                self._pieces.put((b"", error))
                return
            self._pieces.put((piece, None))
            if not piece:
                return

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._wanted.put(False)
        self._thread.join()
