"""Making new layers durable a while after they were made: out of everybody's way, once for several."""

from __future__ import annotations

import contextlib
import threading

from corten.snapshot import Snapshotter

DELAY = 20.0
"""Seconds of quiet before the file system is synced; the kernel has written most by then."""


class Settler:
    """Calls `Snapshotter.settle` in a thread of its own.

    Until then a power failure makes a layer be unpacked again.
    """

    def __init__(self, snapshotter: Snapshotter) -> None:
        self._snapshotter = snapshotter
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def soon(self) -> None:
        """Something was made."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(DELAY, self._settle)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Gives up what is not under way."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _settle(self) -> None:
        # A disk that is full or gone is told to whoever uses it next; the layer only stays unsettled.
        with contextlib.suppress(OSError):
            self._snapshotter.settle()
