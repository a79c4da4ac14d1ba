"""docker's classic builder and buildah, each with a store of its own that has busybox."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.build.image_trees import ImageTree, read_image


def require(*programs: str) -> None:
    """Skips where a peer is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """stdout of a command that must succeed."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (command, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


class Docker:
    """A dockerd of the tests' own, without a bridge and without a rule in any firewall."""

    def __init__(self, place: Path, base: Path) -> None:
        require("docker", "dockerd")
        address = f"unix://{place}/s"
        arguments = ["-H", address, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec"]
        arguments += ["-p", f"{place}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        log = place / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                # Its mounts are its own: what it leaves goes with it.
                ["unshare", "-m", "dockerd", *arguments, "--shutdown-timeout", "2"],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._env = {"DOCKER_HOST": address, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": f"{place}/config"}
        deadline = time.monotonic() + 60
        while (
            not (place / "s").exists()
            or subprocess.run(
                ["docker", "version"], env={**os.environ, **self._env}, capture_output=True, check=False
            ).returncode
        ):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                pytest.skip(f"dockerd does not start here: {log.read_text()[-300:]}")
            time.sleep(0.1)
        run("docker", "load", "-q", "-i", str(base), env=self._env)

    def build(self, context: Path, archive: Path, network: str = "none") -> ImageTree:
        """Builds `context`; the image is in `archive` and is read from there."""
        run("docker", "build", "-q", "--network", network, "-t", "built", str(context), env=self._env)
        run("docker", "save", "-o", str(archive), "built", env=self._env)
        return read_image(archive)

    def close(self) -> None:
        """Ends it and the containerd that it has started."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


class Buildah:
    """`buildah build`, with runc: crun refuses the hybrid layout of cgroups."""

    def __init__(self, place: Path, base: Path) -> None:
        require("buildah", "runc")
        self._command = ["buildah", "--root", f"{place}/root", "--runroot", f"{place}/run"]
        self._command += ["--storage-driver", "vfs"]
        run(*self._command, "pull", "-q", f"docker-archive:{base}")

    def build(self, context: Path, archive: Path, network: str = "none") -> ImageTree:
        """Builds `context`; the image is in `archive` and is read from there."""
        options = ["--isolation", "oci", "--runtime", "runc", "--network", network, "--pull=never"]
        options += [
            "--format",
            "docker",
            "--identity-label=false",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ]
        run(*self._command, "build", "-q", *options, "-t", "built", str(context))
        run(*self._command, "push", "-q", "built", f"docker-archive:{archive}:built")
        return read_image(archive)
