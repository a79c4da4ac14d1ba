"""What processes occupy: PSS, in which memory that several share is counted once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def pss(pid: int) -> float:
    """Proportional memory of one process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup: no Pss line")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def descendants(pid: int) -> list[int]:
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(d for child in children for d in descendants(child))]


@dataclass
class Peak:
    """The most that was seen, in MiB."""

    mib: float = 0.0
    samples: int = 0


@contextlib.contextmanager
def peak_of(root: int, *, every: float = 0.02) -> Iterator[Peak]:
    """Watches `root` and what descends from it, by sampling, until the block ends."""
    peak = Peak()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            total = 0.0
            for pid in _alive(root):
                with contextlib.suppress(OSError, RuntimeError):  # it has ended
                    total += pss(pid)
            peak.mib = max(peak.mib, total)
            peak.samples += 1
            time.sleep(every)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _alive(pid: int) -> list[int]:
    """As descendants, of processes that may end meanwhile and have threads with children of their own."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += (d for child in children.read_text().split() for d in _alive(int(child)))
    return found
