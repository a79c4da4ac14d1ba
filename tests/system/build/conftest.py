"""The fixtures of the other suites: the corten command with an engine, the real docker commands."""

from __future__ import annotations

from collections.abc import Mapping
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
