"""`python -m bench build`: starts the peers in namespaces of its own, measures, prints, cleans up."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import namespaces, report
from bench.build import peers, pip_install
from bench.build.scenarios import SCENARIOS, Bench
from bench.engines import Corten, Docker, MissingPeer, Podman
from bench.images.registry import Registry
from bench.measure import Result
from bench.start.peers import make_rootfs
from bench.worker import Worker


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench build", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="samples of each builder (default 5)")
    parser.add_argument(
        "--only", action="append", choices=sorted(SCENARIOS), help="only this scenario (repeatable)"
    )
    parser.add_argument("--without", action="append", default=[], choices=["docker", "buildah"])
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results"), help="where JSON and chart are written"
    )
    return parser.parse_args(arguments)


def start(
    stack: contextlib.ExitStack, chosen: argparse.Namespace, work: Path
) -> tuple[Bench, dict[str, str]]:
    """Every builder that is installed, with the base image in its store."""
    builders: dict[str, peers.Builder] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []
    plain = Worker()
    stack.callback(plain.close)
    archive = Path(f"{make_rootfs(work / 'rootfs')}.tar")
    engine = Corten(work / "corten")
    stack.callback(engine.close)
    engine.import_image(archive)
    builders["corten"] = peers.corten(engine, plain)
    versions["corten"] = engine.version()
    try:
        if "docker" not in chosen.without:
            docker = Docker(work / "docker")
            stack.callback(docker.close)
            docker.import_image(archive)
            builders["docker"] = peers.docker(docker, plain)
            versions["docker"] = docker.version()
    except MissingPeer as missing:
        notes.append(str(missing))
    try:
        if "buildah" not in chosen.without:
            hidden = Worker(without_unified=True)
            stack.callback(hidden.close)
            podman = Podman(work / "buildah", hidden)
            podman.import_image(archive)
            builders["buildah"] = peers.buildah(podman)
            versions["buildah"] = peers.buildah_version()
    except MissingPeer as missing:
        notes.append(str(missing))
    registry = None
    try:
        registry = Registry(work / "registry")
        stack.callback(registry.close)
    except MissingPeer as missing:
        notes.append(str(missing))
    return Bench(work, builders, registry, chosen.rounds, notes), versions


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    if os.geteuid() != 0:
        print("bench build needs root: docker and buildah are measured as root", file=sys.stderr)
        return 2
    if "pip" in (chosen.only or SCENARIOS):
        with contextlib.suppress(MissingPeer):  # the scenario says what is missing
            pip_install.base_archive()  # before the namespaces, where nothing can be fetched
    namespaces.enter("build", arguments)
    work = Path(tempfile.mkdtemp(prefix="bench-build-", dir="/var/tmp"))
    results: list[Result] = []
    try:
        with contextlib.ExitStack() as stack:
            bench, versions = start(stack, chosen, work)
            for name in chosen.only or SCENARIOS:
                print(f"{name} ", end="", file=sys.stderr, flush=True)
                results += SCENARIOS[name](bench)
    finally:
        subprocess.run(["umount", "--lazy", "--quiet", str(work / "buildah/run")], check=False)
        shutil.rmtree(work, ignore_errors=True)
    return report.tell("build", results, versions, bench.notes, chosen.out)
