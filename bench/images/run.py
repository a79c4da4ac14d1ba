"""`python -m bench images`: starts a registry and the peers in namespaces of its own, measures, prints,
cleans up. All of it takes half an hour: with --parts it can be done in pieces, and printed in the end."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import namespaces, report
from bench.engines import Corten, Docker, MissingPeer, Podman
from bench.images.peers import ImagePeer, Skopeo
from bench.images.registry import Registry
from bench.images.scenarios import ORDER, SCENARIOS, Bench
from bench.images.stored import Stored
from bench.images.workload import VARIANTS, Workload, make
from bench.measure import Result
from bench.worker import Worker

_CACHE = Path("/var/cache/corten-bench")


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench images", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="samples of each peer (default 3)")
    parser.add_argument(
        "--only", action="append", choices=sorted(SCENARIOS), help="only this scenario (repeatable)"
    )
    parser.add_argument(
        "--image",
        action="append",
        choices=[variant.repository for variant in VARIANTS],
        help="only the image with one layer (whole) or with 20 (layers)",
    )
    parser.add_argument(
        "--without", action="append", default=[], choices=["docker", "podman", "skopeo", "overlay"]
    )
    parser.add_argument(
        "--cache", type=Path, default=_CACHE, help=f"where the images are kept, 5 GB (default {_CACHE})"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results"), help="where JSON and chart are written"
    )
    parser.add_argument(
        "--parts", type=Path, metavar="FILE", help="add the samples to those in FILE, and print all of them"
    )
    parser.add_argument("--show", action="store_true", help="measure nothing: print what FILE has")
    return parser.parse_args(arguments)


class _Setup:
    """What is started, and in which order it is ended."""

    def __init__(self, stack: contextlib.ExitStack, chosen: argparse.Namespace, work: Path) -> None:
        self.stack, self.without, self.work = stack, chosen.without, work
        self.peers: dict[str, ImagePeer] = {}
        self.versions: dict[str, str] = {}
        self.notes: list[str] = []
        self.plain = self._worker(without_unified=False)

    def _worker(self, *, without_unified: bool) -> Worker:
        worker = Worker(without_unified=without_unified)
        self.stack.callback(worker.close)
        return worker

    def corten(self) -> Corten:
        """corten as it chooses by itself, and once more with directories."""
        engine = Corten(self.work / "corten")
        self.stack.callback(engine.close)
        self.peers["corten"] = ImagePeer.of_engine(engine, "corten", self.plain)
        self.versions["corten"] = engine.version()
        if "overlay" not in self.without:
            overlay = Corten(self.work / "corten-overlay", "overlay")
            self.stack.callback(overlay.close)
            self.peers["corten overlay"] = ImagePeer.of_engine(overlay, "corten overlay", self.plain)
        return engine

    def docker(self) -> None:
        if "docker" in self.without:
            return
        engine = Docker(self.work / "docker")
        self.stack.callback(engine.close)
        self.peers["docker"] = ImagePeer.of_engine(engine, "docker", self.plain)
        self.versions["docker"] = engine.version()

    def podman(self) -> None:
        if "podman" in self.without:
            return
        podman = Podman(self.work / "podman", self._worker(without_unified=True))
        self.stack.callback(podman.close)
        self.peers["podman"] = ImagePeer.of_podman(podman)
        self.versions["podman"] = podman.version()

    def skopeo(self) -> Skopeo | None:
        if "skopeo" in self.without:
            return None
        skopeo = Skopeo(self.work / "skopeo", self.plain)
        self.versions["skopeo"] = skopeo.version()
        return skopeo

    def bench(self, chosen: argparse.Namespace, workload: Workload) -> Bench:
        registry = Registry(workload.registry)
        self.stack.callback(registry.close)
        self.versions["docker-registry"] = registry.version()
        engine = self.corten()
        skopeo = None
        for start in (self.docker, self.podman):
            with self._noted():
                start()
        with self._noted():
            skopeo = self.skopeo()

        def copy(source: str, target: str) -> float:
            return self.plain.run([engine.cli, "copy", "--quiet", source, target], engine.env) / 1e3

        variants = tuple(v for v in VARIANTS if not chosen.image or v.repository in chosen.image)
        return Bench(
            self.work,
            workload,
            registry,
            self.peers,
            skopeo,
            self.plain,
            copy,
            chosen.rounds,
            variants,
            self.notes,
        )

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except MissingPeer as missing:
            self.notes.append(str(missing))


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    if chosen.show and chosen.parts is None:
        print("bench images: --show needs --parts FILE", file=sys.stderr)
        return 2
    stored = Stored() if chosen.parts is None else Stored.read(chosen.parts)
    if not chosen.show:
        if os.geteuid() != 0:
            print("bench images needs root: the peers are measured as root", file=sys.stderr)
            return 2
        workload = make(chosen.cache)  # needs Debian's mirror the first time: before the network is left
        namespaces.enter("images", arguments)
        stored.add(_measure(chosen, workload))
        stored.sort(ORDER)
        if chosen.parts is not None:
            stored.write(chosen.parts)
    _print(stored)
    report.write(stored.results, stored.versions, chosen.out, "images")
    return 0 if all(result.met(target) for result in stored.results for target in result.targets) else 1


def _measure(chosen: argparse.Namespace, workload: Workload) -> Stored:
    work = Path(tempfile.mkdtemp(prefix="bench-images-", dir="/var/tmp"))
    results: list[Result] = []
    try:
        with contextlib.ExitStack() as stack:
            setup = _Setup(stack, chosen, work)
            bench = setup.bench(chosen, workload)
            for name in chosen.only or SCENARIOS:
                print(f"{name} ", end="", file=sys.stderr, flush=True)
                results += SCENARIOS[name](bench)
    finally:
        subprocess.run(["umount", "--recursive", "--quiet", str(work)], check=False)
        shutil.rmtree(work, ignore_errors=True)
    return Stored(results, workload.facts(), setup.versions, setup.notes)


def _print(stored: Stored) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in stored.versions.items())
    print(f"{report.machine()}; {versions}")
    facts = stored.facts
    if facts:
        print(
            f"The image: {facts['files']:,} files, {facts['bytes'] / 1e6:,.0f} MB as a tar,"
            f" {facts['compressed'] / 1e6:,.0f} MB compressed\n"
        )
    print(report.table(stored.results))
    for note in stored.notes:
        print(f"\nnot measured: {note}")
