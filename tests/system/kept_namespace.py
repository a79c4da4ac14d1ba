"""An engine in a namespace that lives as long as a process which does nothing else."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod


class KeptNamespace(ABC):
    """`unshare`: the options of unshare(1) that make it; `run` enters its namespace."""

    def __init__(self, *unshare: str) -> None:
        self._keeper = subprocess.Popen(["unshare", *unshare, "sleep", "infinity"])

    @abstractmethod
    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in there."""

    def corten(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A corten command; the first one starts the engine."""
        return self.run(sys.executable, "-m", "corten", *arguments, check=check)

    def close(self) -> None:
        """Removes containers, stops the engine, and ends the namespace."""
        try:
            names = self.corten("ps", "-aq", check=False).stdout.split()
            if names:
                self.corten("rm", "-f", *names, check=False)
            self.corten("engine", "stop", check=False)
        finally:
            self.end()

    def end(self) -> None:
        """Ends the namespace: no engine has been started."""
        self._keeper.kill()
        self._keeper.wait()
