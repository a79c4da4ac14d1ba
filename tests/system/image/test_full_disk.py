"""A full disk is told in one sentence, and leaves nothing half-made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import member, tar_of

pytestmark = pytest.mark.root

_WORK = """
import subprocess, sys
sys.path[:] = {path!r}
from pathlib import Path
from corten.errors import NoSpace
from corten.image.store import open_stream
from tests.unit.image.images import everything, make_store
subprocess.run(["mount", "-t", "tmpfs", "-o", {size!r}, "tmpfs", {root!r}], check=True)
store = make_store(Path({root!r}) / "r")
try:
    store.load(open_stream({archive!r}))
except NoSpace as error:
    print(error.message)
print(everything(store), store.list(all=True))
"""


@pytest.mark.parametrize("size", ["size=2m", "size=6m", "size=64m,nr_inodes=60"])
def test_loading(tmp_path: Path, size: str) -> None:
    """Full while the blob is stored, while the layer is unpacked, and out of inodes."""
    files = [member(f"f{n}", bytes([n]) * 40_000) for n in range(100)]
    (tmp_path / "a.tar").write_bytes(docker_archive([tar_of(files)]))
    (tmp_path / "root").mkdir()
    script = _WORK.format(
        path=sys.path, root=str(tmp_path / "root"), archive=str(tmp_path / "a.tar"), size=size
    )
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    message, state = result.stdout.splitlines()
    assert message.startswith("cannot ") and "the disk is full" in message
    assert state == "([], [], []) []"
