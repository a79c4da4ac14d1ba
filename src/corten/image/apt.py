"""Fetching the distribution's own packages as any user: apt with private lists and caches, its signatures
checked.

The host's sources and keys are read, nothing of the host is written; an empty /var/lib/apt/lists does not
matter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from corten.errors import Unavailable, Unsupported
from corten.image.model import Progress, Report

_TIMEOUT = 600


class PrivateApt:
    """apt-get with its state beneath `directory`."""

    def __init__(self, directory: Path, report: Report) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Unsupported(
                "this host has no apt: packages for a base image can be fetched on Debian and Ubuntu only; "
                "load or import an image instead (corten load -i FILE, corten import FILE)"
            )
        self._directory = directory
        self._report = report
        self._updated = False
        for name in ("lists/partial", "cache/archives/partial", "packages"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def download(self, *packages: str) -> list[Path]:
        """The .deb files of `packages` (already fetched ones too), verified by apt. Unavailable."""
        self._update()
        self._report(Progress(f"Downloading {', '.join(packages)}"))
        target = self._directory / "packages"
        before = set(target.iterdir())
        self._run(["apt-get", *self._options(), "-q", "download", *packages], cwd=target)
        return sorted(set(target.iterdir()) - before)

    def extract(self, *packages: str) -> Path:
        """The files of `packages`, unpacked beneath the returned directory (nothing is configured)."""
        target = self._directory / "root"
        target.mkdir(exist_ok=True)
        for package in self.download(*packages):
            self._run(["dpkg-deb", "-x", str(package), str(target)])
        return target

    def exists(self, package: str) -> bool:
        """Whether the sources have this package."""
        self._update()
        result = subprocess.run(
            ["apt-cache", *self._options(), "show", "--no-all-versions", package],
            capture_output=True,
            check=False,
            env=_environment(),
        )
        return result.returncode == 0 and bool(result.stdout)

    def _update(self) -> None:
        if not self._updated:
            self._report(Progress("Reading the distribution's package lists"))
            # A third-party source that does not answer must not stop us: the download fails if it mattered.
            self._run(["apt-get", *self._options(), "-q", "update"], tolerate=(100,))
            self._updated = True

    def _options(self) -> list[str]:
        directory = self._directory
        values = {
            "Dir::State::lists": f"{directory}/lists/",
            "Dir::Cache": f"{directory}/cache/",
            "Dir::Cache::archives": f"{directory}/cache/archives/",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "1",
            "APT::Update::Post-Invoke-Success": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        }
        options = [f"-o{key}={value}" for key, value in values.items()]
        # Hooks of the host (docker-clean, appstream…) act on the host's directories: they are not ours to
        # run.
        return [*options, "-o#clear=APT::Update::Post-Invoke", "-o#clear=APT::Update::Post-Invoke-Success"]

    def _run(self, command: list[str], *, cwd: Path | None = None, tolerate: Sequence[int] = ()) -> None:
        result = subprocess.run(
            command,
            cwd=cwd,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
        if result.returncode not in (0, *tolerate):
            lines = [line for line in result.stdout.splitlines() if line.startswith(("E:", "dpkg"))]
            why = "; ".join(lines[-3:]) or f"{command[0]} ended with status {result.returncode}"
            raise Unavailable(f"cannot fetch packages from the distribution: {why}")


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
