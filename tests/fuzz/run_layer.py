"""atheris on `layer_target`; arguments are libFuzzer's (directories of the corpus, -max_total_time=…)."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]

with atheris.instrument_imports(include=["corten.snapshot", "layer_target"]):
    import layer_target

atheris.Setup(sys.argv, layer_target.one)
atheris.Fuzz()
