"""Ends what a test session has started when the session itself was killed: `guardian.py MARK`.

It reads its standard input until the session's end closes it; one that ends in order writes a byte before.
Every process that the session starts has the mark in its environment, however far down it is.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "CORTEN_TEST_SESSION"
PATIENCE = 10.0


def marked(mark: str) -> dict[int, str]:
    """The processes of a session, but for the one that asks: pid and command name."""
    wanted, found = f"{VARIABLE}={mark}".encode(), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "comm").read_text().strip()
        except OSError:
            continue  # it has ended, or is another user's
    return found


def end(mark: str) -> None:
    """Monitors first, whose containers end with them: engines then clear up, and leave nothing when they are
    asked to end."""
    _send(signal.SIGKILL, (pid for pid, name in marked(mark).items() if name == "corten-monitor"))
    time.sleep(1)
    _send(signal.SIGTERM, marked(mark))
    deadline = time.monotonic() + PATIENCE
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    _send(signal.SIGKILL, left)


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not sys.stdin.buffer.read(1):
        end(sys.argv[1])
