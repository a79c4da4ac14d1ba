"""`python -m bench start`: starts the peers in namespaces of its own, measures, prints, cleans up."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench import namespaces, report
from bench.engines import Corten, Docker, MissingPeer, Podman, require
from bench.measure import Result
from bench.start.kernel_limit import kernel_limit
from bench.start.peers import Bundle, make_rootfs
from bench.start.scenarios import SCENARIOS, Peers
from bench.worker import Worker


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="samples of each peer (default 20)")
    parser.add_argument(
        "--only", action="append", choices=sorted(SCENARIOS), help="only this scenario (repeatable)"
    )
    parser.add_argument("--without", action="append", default=[], choices=["docker", "podman", "runtimes"])
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results"), help="where JSON and chart are written"
    )
    return parser.parse_args(arguments)


def start_peers(
    stack: contextlib.ExitStack, chosen: argparse.Namespace, work: Path
) -> tuple[Peers, dict[str, str]]:
    rootfs = make_rootfs(work / "rootfs")
    tar = Path(f"{rootfs}.tar")
    versions: dict[str, str] = {}
    plain, no_unified = Worker(), Worker(without_unified=True)
    stack.callback(plain.close)
    stack.callback(no_unified.close)
    corten = Corten(work / "corten")
    stack.callback(corten.close)
    corten.import_image(tar)
    peers = Peers(work, rootfs, corten, None, None, [], plain, chosen.rounds, kernel_limit(work, rootfs))
    try:
        if "docker" not in chosen.without:
            peers.docker = Docker(work / "docker")
            stack.callback(peers.docker.close)
            peers.docker.import_image(tar)
    except MissingPeer as missing:
        peers.notes.append(str(missing))
    try:
        if "podman" not in chosen.without:
            peers.podman = Podman(work / "podman", no_unified)
            stack.callback(peers.podman.close)
            peers.podman.import_image(tar)
    except MissingPeer as missing:
        peers.notes.append(str(missing))
    if "runtimes" not in chosen.without:
        own = str(Path(sys.executable).with_name("corten-runtime"))
        for program, worker in ((own, plain), ("crun", no_unified), ("runc", plain)):
            try:
                path = require(program, program)
                peers.bundles.append(
                    Bundle(work / "bundles", rootfs, path, ["--root", f"{work}/state"], worker)
                )
            except MissingPeer as missing:
                peers.notes.append(str(missing))
    for peer in (corten, peers.docker, peers.podman, *peers.bundles):
        if peer is not None:
            versions[peer.name] = peer.version()
    return peers, versions


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    if os.geteuid() != 0:
        print("bench start needs root: docker, crun and runc are measured as root", file=sys.stderr)
        return 2
    namespaces.enter("start", arguments)
    work = Path(tempfile.mkdtemp(prefix="bench-start-"))
    results: list[Result] = []
    try:
        with contextlib.ExitStack() as stack:
            peers, versions = start_peers(stack, chosen, work)
            for name in chosen.only or SCENARIOS:
                print(f"{name} ", end="", file=sys.stderr, flush=True)
                results += SCENARIOS[name](peers)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.tell("start", results, versions, peers.notes, chosen.out)
