"""A benchmark's own mount and network namespaces: no peer's mount, rule or port is seen outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

_INSIDE = "CORTEN_BENCH_INSIDE"


def enter(name: str, arguments: list[str]) -> None:
    """Runs `python -m bench NAME ARGUMENTS` again in new namespaces; returns there, with loopback up, and
    with SIGTERM an exception that cleans up."""
    if _INSIDE not in os.environ:
        command = ["unshare", "--mount", "--net", "--", sys.executable, "-m", "bench", name, *arguments]
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
