"""`python -m bench registry`: starts the registries, measures them in turns, prints, cleans up."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench import report
from bench.measure import Result
from bench.registry.peers import peers
from bench.registry.scenarios import SCENARIOS, Bench

_CACHE = Path("/var/cache/corten-bench")


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench registry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="samples of each peer (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="how long wrk runs for a sample (default 2)")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="only this (repeatable)")
    parser.add_argument("--without", action="append", default=[], choices=["distribution", "docker-registry"])
    parser.add_argument(
        "--cache",
        type=Path,
        default=_CACHE,
        help=f"where blobs and programs are kept, 2 GB (default {_CACHE})",
    )
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="where JSON and chart go")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    work = Path(tempfile.mkdtemp(prefix="bench-registry-", dir="/var/tmp"))
    notes: list[str] = []
    results: list[Result] = []
    found = peers(work, chosen.cache, chosen.without, notes)
    try:
        for peer in found.values():
            peer.start()
        bench = Bench(work, chosen.cache / "registry", found, chosen.rounds, chosen.seconds, {})
        for name, scenario in SCENARIOS.items():
            if chosen.only and name not in chosen.only:
                continue
            print(f"{name} ", end="", file=sys.stderr, flush=True)
            results += scenario(bench)
        versions = {name: peer.version() for name, peer in found.items()}
    finally:
        for peer in found.values():
            peer.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.tell("registry", results, versions, notes, chosen.out)
