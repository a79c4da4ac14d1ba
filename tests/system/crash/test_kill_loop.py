"""SIGKILL to anything at any moment: the next engine comes up, answers rightly, and nothing is left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_left(short_tmp: Path, busybox_archive: Path, seed: int) -> None:
    if shutil.which("nft") is None or shutil.which("ip") is None:
        pytest.skip("nft or ip is missing")
    script = Path(__file__).with_name("kill_loop.py")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, script, short_tmp, busybox_archive, "15", str(seed)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout, done.stdout
