"""`corten system fsck`: the command, repairs from a registry, and a container on a repaired layer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import EngineProcess
from tests.system.image.test_registry import Registry
from tests.system.space.test_kill import Api, publish

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs Debian's docker-registry"),
]


def corten(engine: EngineProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CORTEN_ROOT": str(engine.paths.root), "CORTEN_RUN": str(engine.paths.run)}
    command = [sys.executable, "-m", "corten", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_repair_from_the_registry(engine_process: EngineProcess, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    try:
        engine_process.start()
        api = Api(engine_process.socket)
        name, _other = publish(api, registry)
        api.call("POST", f"/images/create?fromImage={name}")
        whole = corten(engine_process, "system", "fsck")
        assert (whole.returncode, whole.stderr) == (0, "") and whole.stdout.endswith("all is well\n")

        blobs = engine_process.paths.content / "blobs/sha256"
        image = api.json("GET", f"/images/{name}/json")
        small = [path for path in blobs.iterdir() if path.stat().st_size < 10_000]
        for path in small:  # config and manifests
            path.unlink()
        layer = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
        layer.write_bytes(b"garbage")
        found = corten(engine_process, "system", "fsck", "--format", "json")
        assert found.returncode == 1, found
        lines = [json.loads(line) for line in found.stdout.splitlines()]
        subjects = {line["problem"]["subject"] for line in lines[:-1] if line["problem"]["kind"] == "blob"}
        assert subjects >= {image["Id"], image["Descriptor"]["digest"], f"sha256:{layer.name}"}
        assert lines[-1]["summary"]["left"] == len(lines) - 1

        mended = corten(engine_process, "system", "fsck", "--repair")
        assert mended.returncode == 0, mended
        assert f"repaired: fetched again from {registry.host}" in mended.stdout
        assert "repaired: written again from the database" in mended.stdout
        assert {path.name for path in small} <= {path.name for path in blobs.iterdir()}
        assert corten(engine_process, "system", "fsck", "-q").stdout == ""

        layer.unlink()
        registry.stop()
        left = corten(engine_process, "system", "fsck", "--repair")
        assert left.returncode == 1 and "what to do: load or pull again" in left.stdout
    finally:
        registry.stop()
    assert engine_process.stop() == 0


def test_a_container_on_a_repaired_layer(engine_process: EngineProcess, busybox_root: Path) -> None:
    subprocess.run(["cp", "-a", busybox_root, engine_process.paths.root], check=True)
    engine_process.start()
    run = ("run", "--rm", "--network=none", "busybox", "cat", "/data/seed")
    assert corten(engine_process, *run).stdout == "seed\n"
    (record,) = engine_process.paths.snapshots.glob("[0-9a-f]*/layer.json")
    image = record.with_name("layer.erofs")
    if image.exists():
        content = image.read_bytes()
        image.write_bytes(content.replace(b"seed\n", b"reed\n"))
    else:
        (record.parent / "fs/data/seed").write_text("reed\n")
    assert corten(engine_process, "system", "fsck").returncode == 1
    assert corten(engine_process, "system", "fsck", "--repair").returncode == 0
    assert corten(engine_process, *run).stdout == "seed\n"
    assert corten(engine_process, "system", "fsck").returncode == 0
    assert engine_process.stop() == 0
