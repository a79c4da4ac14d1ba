"""An engine in a network namespace of its own: the host's links and firewall are not touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corten.engine.paths import Paths
from tests.system.kept_namespace import KeptNamespace


class PrivateHost(KeptNamespace):
    """A network namespace that plays the host, and a corten whose engine lives in it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        super().__init__("--net")
        own = os.stat("/proc/self/ns/net").st_ino
        try:
            self.wait_for(lambda: os.stat(f"/proc/{self._keeper.pid}/ns/net").st_ino != own)
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.end()
            raise

    def run(self, *command: str, check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """A command on the private host."""
        environment = dict(os.environ, CORTEN_ROOT=str(self.paths.root), CORTEN_RUN=str(self.paths.run))
        done = subprocess.run(
            ["nsenter", "-t", str(self._keeper.pid), "--net", *command],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def python(self, program: str, *, inside: str = "", check: bool = True) -> str:
        """A Python program on the private host, or in the network namespace of a container; its output."""
        prefix = []
        if inside:
            pid = self.corten("inspect", "-f", "{{.State.Pid}}", inside).stdout.strip()
            prefix = ["nsenter", "-t", pid, "--net"]
        return self.run(*prefix, sys.executable, "-I", "-c", program, check=check).stdout

    def serve(self, name: str, program: str) -> subprocess.Popen[bytes]:
        """Starts a Python program in a container's network namespace, and waits for its first line."""
        pid = self.corten("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
        process = subprocess.Popen(
            ["nsenter", "-t", pid, "--net", sys.executable, "-I", "-u", "-c", program], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def links(self) -> list[str]:
        """The names of all links of the private host."""
        text = self.run("ip", "-brief", "link").stdout
        return [line.split()[0].partition("@")[0] for line in text.splitlines()]

    def links_of_ours(self) -> list[str]:
        """Bridges and ports of corten's."""
        return [name for name in self.links() if name.startswith(("corten", "veth"))]

    def rules(self) -> str:
        """The whole ruleset."""
        return self.run("nft", "list", "ruleset").stdout

    def kill_engine(self) -> None:
        """SIGKILL, and wait until it is gone."""
        pid = int(self.paths.pid.read_text())
        os.kill(pid, 9)
        self.wait_for(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))

    def wait_for(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Until the condition holds; AssertionError when it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def host(engine_paths: Paths, busybox_archive: Path) -> Iterator[PrivateHost]:
    """A private host with busybox loaded."""
    made = PrivateHost(engine_paths)
    try:
        made.corten("load", "-i", str(busybox_archive))
        yield made
    finally:
        made.close()
