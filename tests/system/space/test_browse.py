"""`corten image browse`, the command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import EngineProcess
from tests.system.space.test_fsck import corten
from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import directory, member, symlink, tar_of

pytestmark = pytest.mark.root

LAYERS = [
    tar_of([directory("etc"), member("etc/a", b"a" * 1000), member("etc/b", b"b"), symlink("l", "etc/a")]),
    tar_of([member("etc/a", b"A" * 2000, mode=0o4755, uid=7), member("etc/.wh.b", b"")]),
]


def test_tree_layers_and_json(engine_process: EngineProcess, tmp_path: Path) -> None:
    engine_process.start()
    archive = tmp_path / "image.tar"
    archive.write_bytes(docker_archive(LAYERS))
    assert corten(engine_process, "load", "-i", str(archive)).returncode == 0

    tree = corten(engine_process, "image", "browse", "--deleted", "app:1")
    assert tree.returncode == 0, tree
    assert tree.stdout.splitlines() == [
        "LAYER MODE       OWNER       SIZE     NAME",
        "    2 drwxr-xr-x 0:0                  /",
        "    2 drwxr-xr-x 0:0                    etc",
        "    2 -rwsr-xr-x 7:0         2kB          a  (hides file in layer 1, 1kB)",
        "    2 deleted                             b  (hides file in layer 1, 1B)",
        "    1 lrwxrwxrwx 0:0                    l -> etc/a",
    ]
    layers = corten(engine_process, "image", "browse", "--layers", "app:1").stdout.splitlines()
    assert [line.split()[0] for line in layers] == ["LAYER", "1", "2"]
    assert layers[1].split()[5] == "1kB" and layers[2].split()[5] == "0B"

    found = corten(engine_process, "image", "browse", "--format", "json", "app:1", "/etc").stdout
    entries = [json.loads(line) for line in found.splitlines()]
    assert [(entry["path"], entry["layer"]) for entry in entries] == [("/etc", 2), ("/etc/a", 2)]
    assert entries[1]["shadows"] == [{"layer": 1, "type": "file", "size": 1000}]

    missing: subprocess.CompletedProcess[str] = corten(engine_process, "image", "browse", "app:1", "/no")
    assert missing.returncode == 1 and "has no '/no'" in missing.stderr
    assert engine_process.stop() == 0
