"""The fuzzers' corpora, and a short run of each coverage-guided one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import dockerfile_target, layer_target

HERE = Path(__file__).parent
TARGETS: dict[str, Callable[[bytes], None]] = {"dockerfile": dockerfile_target.one, "layer": layer_target.one}


@pytest.mark.parametrize(
    "path",
    sorted(path for name in TARGETS for path in (HERE / "corpus" / name).iterdir()),
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_corpus(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize(("name", "runs", "longest"), [("dockerfile", 2000, 4096), ("layer", 1500, 8192)])
def test_a_short_run_of_the_fuzzer(name: str, runs: int, longest: int, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(HERE / f"run_{name}.py"),
        str(tmp_path),  # what it finds goes here
        str(HERE / "corpus" / name),
        f"-runs={runs}",
        f"-max_len={longest}",
        "-timeout=20",
        "-rss_limit_mb=600",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
