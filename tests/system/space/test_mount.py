"""`corten image mount`: read-only, kept through a kill of the engine, in use as long as it is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import EngineProcess
from tests.system.space.test_fsck import corten
from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import member, tar_of

pytestmark = pytest.mark.root

LAYERS = [
    tar_of([member("a", b"below"), member("b", b"b")]),
    tar_of([member("a", b"above"), member(".wh.b")]),
]


def test_mount(engine_process: EngineProcess, tmp_path: Path) -> None:
    engine_process.start()
    for number, layers in enumerate((LAYERS, LAYERS[:1])):
        archive = tmp_path / f"{number}.tar"
        archive.write_bytes(docker_archive(layers, [f"app:{number}"]))
        assert corten(engine_process, "load", "-i", str(archive)).returncode == 0
    point, one = tmp_path / "view of it", tmp_path / "one"
    point.mkdir()
    one.mkdir()
    try:
        assert corten(engine_process, "image", "mount", "app:0", str(point)).stdout == f"{point}\n"
        assert corten(engine_process, "image", "mount", "app:1", str(one)).returncode == 0
        assert (point / "a").read_text() == "above" and os.listdir(point) == ["a"]
        assert sorted(os.listdir(one)) == ["a", "b"]
        with pytest.raises(OSError, match="Read-only"):
            (point / "new").touch()
        again = corten(engine_process, "image", "mount", "app:1", str(point))
        assert again.returncode == 1 and "already" in again.stderr
        used = corten(engine_process, "rmi", "app:0")
        assert used.returncode == 1 and f"the mount at {point}" in used.stderr
        assert corten(engine_process, "image", "prune", "-a", "-f").returncode == 0
        assert corten(engine_process, "image", "inspect", "app:0", "app:1").returncode == 0

        engine_process.kill()
        assert (point / "a").read_text() == "above"
        engine_process.start()
        listed = corten(engine_process, "image", "mount").stdout.splitlines()
        assert [line.split("  ")[0] for line in listed[1:]] == [str(one), str(point)]
        subprocess.run(["umount", one], check=True)
        assert len(corten(engine_process, "image", "mount").stdout.splitlines()) == 2
        with open(point / "a"):
            busy = corten(engine_process, "image", "unmount", str(point))
            assert busy.returncode == 1 and "--force" in busy.stderr
        assert corten(engine_process, "image", "unmount", str(point)).returncode == 0
        assert not os.path.ismount(point)
        assert corten(engine_process, "image", "unmount", str(point)).returncode == 1
        full = corten(engine_process, "image", "mount", "app:1", str(tmp_path))
        assert full.returncode == 1 and "not empty" in full.stderr
        assert corten(engine_process, "system", "fsck", "-q").returncode == 0
    finally:
        for path in (point, one):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
    assert engine_process.stop() == 0
