"""The fixtures of the other suites: the corten command with an engine, the real docker commands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.system.cli.conftest import corten, shared_corten, terminals
from tests.system.docker_cli.conftest import docker, docker_engine, pytest_generate_tests

__all__ = ("corten", "docker", "docker_engine", "pytest_generate_tests", "shared_corten", "terminals")


def write_context(directory: Path, files: Mapping[str, str]) -> Path:
    """A build context of text files, by path."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def processes(marker: str) -> list[int]:
    """Processes (but this one) with `marker` in their command line, whose arguments NULs separate."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Waits for something."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
