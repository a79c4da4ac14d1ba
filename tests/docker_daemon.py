"""Docker's own daemon, with every directory and its socket in one place."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 40


@contextlib.contextmanager
def docker_daemon(directory: Path, *options: str) -> Iterator[str]:
    """The address (`docker -H`) of a dockerd without networks, whose registries on loopback may be plain
    HTTP. Skips the test where it is not installed, or does not start. `directory` has a short name."""
    for program in ("dockerd", "docker"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    address = f"unix://{directory}/docker.sock"
    with open(directory / "log", "wb") as log:
        daemon = subprocess.Popen(
            [
                "dockerd",
                *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
                *("--pidfile", str(directory / "pid"), "-H", address, "--bridge=none", "--iptables=false"),
                *("--ip6tables=false", "--storage-driver=vfs", *options),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        version = ["docker", "-H", address, "version"]
        while subprocess.run(version, capture_output=True, check=False).returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not start here: {(directory / 'log').read_text()[-400:]}")
            time.sleep(0.2)
        yield address
    finally:
        daemon.terminate()
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        for place in ("data", "exec"):
            subprocess.run(["umount", "-l", "-R", str(directory / place)], capture_output=True, check=False)
