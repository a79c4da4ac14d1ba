from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from corten.linux.inode_flags import spread_subdirectories


def flags(directory: Path) -> str:
    found = subprocess.run(["lsattr", "-d", str(directory)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"the file system of {directory} has no such flags: {found.stderr}")
    return found.stdout.split()[0]


def test_a_directory_is_marked_and_keeps_its_other_flags(tmp_path: Path) -> None:
    flags(tmp_path)
    subprocess.run(["chattr", "+A", str(tmp_path)], check=True)
    for _ in range(2):
        spread_subdirectories(tmp_path)
    assert "T" in flags(tmp_path) and "A" in flags(tmp_path)


def test_a_file_system_without_the_flag_does_as_before() -> None:
    spread_subdirectories(Path("/proc"))
    spread_subdirectories(Path("/nowhere"))
