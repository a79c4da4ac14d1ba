"""atheris on `dockerfile_target`; arguments are those of libFuzzer (directories, -max_total_time=…)."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]

with atheris.instrument_imports(include=["corten.build", "dockerfile_target"]):
    import dockerfile_target

atheris.Setup(sys.argv, dockerfile_target.one)
atheris.Fuzz()
