"""Objects made after all holes are filled lie side by side."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys
sys.path.insert(0, sys.argv[1])
from corten.launch import object_pools

gc.disable()
kept = [bytes(31) for _ in range(100_000)]
# Two thousand holes, and one at the beginning of each pool: that does not make it a new one.
kept = [item for number, item in enumerate(kept) if number % 50 and id(item) % (1 << 14) != 48]


def pages() -> int:
    return len({id(item) >> 12 for item in [bytes(31) for _ in range(60)]})


if sys.argv[2] == "fill":
    object_pools.fill_object_pools()
print(pages(), len(object_pools._taken))
"""


def _run(word: str) -> tuple[int, int]:
    source = next(path for path in sys.path if path.endswith("src"))
    output = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, source, word], check=True, capture_output=True, text=True
    ).stdout
    pages, taken = output.split()
    return int(pages), int(taken)


def test_new_objects_lie_side_by_side() -> None:
    before, _ = _run("leave")
    after, taken = _run("fill")
    assert after <= 2 < before / 10
    assert 2000 < taken < 20_000
