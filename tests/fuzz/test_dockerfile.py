"""The corpus of the fuzzer for Dockerfiles, and a short run of the coverage-guided one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import dockerfile_target

CORPUS = Path(__file__).with_name("corpus") / "dockerfile"


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    dockerfile_target.one(path.read_bytes())


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_short_run_of_the_fuzzer(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(Path(__file__).with_name("run_dockerfile.py")),
        str(tmp_path),  # what it finds goes here
        str(CORPUS),
        "-runs=2000",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=600",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
