"""`python -m bench NAME [options]`: one benchmark, side by side with the peers."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("start", "images", "build", "registry")


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: python -m bench {'|'.join(BENCHMARKS)} [options]", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"bench.{sys.argv[1]}.run").main(sys.argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
