from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from corten.engine.spare_directory import SpareDirectory

WHOLE = {"upper", "work", "log", "hosts", "hostname", "resolv.conf"}


def parts(directory: Path) -> set[str]:
    return set(os.listdir(directory))


async def test_the_spare_becomes_the_next(tmp_path: Path) -> None:
    spare = SpareDirectory(tmp_path / "spare")
    spare.fill()
    (tmp_path / "spare/next/upper/mark").touch()
    spare.become(tmp_path / "one")
    assert (tmp_path / "one/upper/mark").exists()
    spare.become(tmp_path / "two")
    spare.close()
    assert parts(tmp_path / "two") == WHOLE and not (tmp_path / "two/upper/mark").exists()
    assert os.stat(tmp_path / "two").st_mode & 0o777 == 0o710
    assert os.stat(tmp_path / "two/log").st_mode & 0o027 == 0


async def test_what_a_killed_engine_left_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "spare/next/upper").mkdir(parents=True)
    (tmp_path / "spare/new/upper").mkdir(parents=True)
    spare = SpareDirectory(tmp_path / "spare")
    spare.fill()
    spare.become(tmp_path / "one")
    spare.close()
    assert parts(tmp_path / "one") == WHOLE and parts(tmp_path / "spare") == set()


async def test_no_container_takes_anothers_directory(tmp_path: Path) -> None:
    spare = SpareDirectory(tmp_path / "spare")
    (tmp_path / "one").mkdir()
    with pytest.raises(FileExistsError):
        spare.become(tmp_path / "one")


async def test_containers_lie_apart_from_each_other(tmp_path: Path) -> None:
    shown = ("lsattr", "-d", str(tmp_path / "spare"))
    SpareDirectory(tmp_path / "spare").fill()
    found = subprocess.run(shown, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"the file system of {tmp_path} has no such flags: {found.stderr}")
    assert "T" in found.stdout.split()[0]
