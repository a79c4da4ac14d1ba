"""What is measured. Each sample of a peer gives two figures: how fast, and for how much CPU."""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.engines import require
from bench.measure import REST, Result, Series, Target
from bench.registry import fill
from bench.registry.load import LARGE, REPOSITORY, Small, begin, make_blobs, push_small, renew, wrk
from bench.registry.peers import Corten, Peer

V3 = "distribution v3"
Sampler = Callable[[], tuple[float, float]]
GIB = 1 << 30


@dataclass
class Bench:
    """What the scenarios work with."""

    work: Path
    cache: Path
    peers: dict[str, Peer]
    rounds: int
    seconds: int
    small: dict[str, Small]


def pairs_in_turns(
    samplers: Mapping[str, Sampler], rounds: int
) -> tuple[dict[str, Series], dict[str, Series]]:
    """As `measure.in_turns`, for samples that are two figures."""
    first = {name: Series(name) for name in samplers}
    second = {name: Series(name) for name in samplers}
    names = list(samplers)
    for turn in range(1 + rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(REST)
            one, two = samplers[name]()
            if turn:
                first[name].samples.append(one)
                second[name].samples.append(two)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return first, second


def beside(bench: Bench, bound: float, *, at_least: bool) -> list[Target]:
    """The target beside distribution v3, where it is there."""
    return [Target(V3, bound, at_least=at_least)] if V3 in bench.peers else []


def small_requests(bench: Bench) -> list[Result]:
    for name, peer in bench.peers.items():
        if name not in bench.small:
            bench.small[name] = push_small(peer)
    results = []
    for scenario, title, path, factor in (
        ("manifest-tag", "manifest by tag", lambda s: f"/v2/{REPOSITORY}/manifests/v1.50", 1.0),
        ("manifest-digest", "manifest by digest", lambda s: f"/v2/{REPOSITORY}/manifests/{s.manifest}", 1.0),
        ("tags-100", "list of 100 tags", lambda s: f"/v2/{REPOSITORY}/tags/list", 1.5),
        ("blob-4k", "blob of 4 KiB", lambda s: f"/v2/{REPOSITORY}/blobs/{s.blob}", 1.5),
    ):
        samplers = {
            name: (
                lambda peer=peer, name=name, path=path: wrk(peer, path(bench.small[name]), 16, bench.seconds)
            )
            for name, peer in bench.peers.items()
        }
        rates, costs = pairs_in_turns(samplers, bench.rounds)
        results.append(
            Result(scenario, f"{title}, requests a second", "/s", rates, beside(bench, factor, at_least=True))
        )
        results.append(
            Result(
                f"{scenario}-cpu", f"{title}, CPU for each", "µs", costs, beside(bench, 1.0, at_least=False)
            )
        )
    return results


def timed(peer: Peer, commands: list[list[str]]) -> tuple[float, float]:
    """Runs commands side by side; seconds, and the server's CPU seconds. Each has to succeed."""
    cpu, start = peer.cpu(), time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    for process in running:
        out, _ = process.communicate()
        if process.returncode or out.strip() not in (b"200", b"201"):
            raise RuntimeError(f"{peer.name}: {process.args}: {process.returncode} {out!r}")
    return time.monotonic() - start, peer.cpu() - cpu


def _curl(*arguments: str) -> list[str]:
    return [
        require("curl", "curl"),
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        *arguments,
    ]


def downloads(bench: Bench) -> list[Result]:
    (blob,) = make_blobs(bench.cache, 1)
    digest = renew(blob)
    for peer in bench.peers.values():
        _upload(peer, "bench/large", [(blob, digest)])
    results = []
    for count in (1, 8):

        def sample(peer: Peer, count: int = count) -> tuple[float, float]:
            target = f"{peer.url}/v2/bench/large/blobs/{digest}"
            seconds, cpu = timed(peer, [_curl("--location", target)] * count)
            return count * LARGE / seconds / (1 << 20), cpu / (count * LARGE / GIB)

        results += _blob_results(
            bench, sample, f"blob-256m-{count}", f"blob of 256 MiB, {count} at a time", 0.7
        )
    return results


def _upload(peer: Peer, repository: str, files: list[tuple[Path, str]]) -> tuple[float, float]:
    commands = []
    for path, digest in files:
        location = begin(peer, repository)
        joint = "&" if "?" in location else "?"
        commands.append(
            _curl(
                *("--header", "Content-Type: application/octet-stream", "--header", "Expect:"),
                *("--upload-file", str(path), f"{location}{joint}digest={digest}"),
            )
        )
    return timed(peer, commands)


def uploads(bench: Bench) -> list[Result]:
    blobs = make_blobs(bench.cache, 4)
    results = []
    for count in (1, 4):

        def sample(peer: Peer, count: int = count) -> tuple[float, float]:
            files = [(path, renew(path)) for path in blobs[:count]]
            seconds, cpu = _upload(peer, "bench/uploads", files)
            peer.reset()
            bench.small.pop(peer.name, None)
            return count * LARGE / seconds / (1 << 20), cpu / (count * LARGE / GIB)

        results += _blob_results(
            bench, sample, f"upload-256m-{count}", f"upload of 256 MiB, {count} at a time", 1.9
        )
    return results


def _blob_results(
    bench: Bench, sample: Callable[[Peer], tuple[float, float]], scenario: str, title: str, most: float
) -> list[Result]:
    samplers = {name: (lambda peer=peer: sample(peer)) for name, peer in bench.peers.items()}
    rates, costs = pairs_in_turns(samplers, bench.rounds)
    costs_targets = [Target("", most), *beside(bench, 1.0, at_least=False)]
    return [
        Result(scenario, f"{title}, throughput", "MiB/s", rates, beside(bench, 1.0, at_least=True)),
        Result(f"{scenario}-cpu", f"{title}, CPU for each GiB", "s", costs, costs_targets),
    ]


def clients(bench: Bench) -> list[Result]:
    """corten's and skopeo's own pushes and pulls of an image of 8 layers, 16 MiB each."""
    image = fill.layout(bench.cache / "layout", layers=8, size=16 << 20)
    corten = [sys.executable, "-m", "corten", "copy", "--quiet"]
    skopeo = [require("skopeo", "skopeo"), "copy", "--quiet"]
    results = []
    for client, command in (("corten", corten), ("skopeo", skopeo)):

        def sample(peer: Peer, command: list[str] = command) -> tuple[float, float]:
            peer.reset()
            bench.small.pop(peer.name, None)
            name = f"docker://{peer.host}/bench/image:1"
            start = time.monotonic()
            subprocess.run(
                [*command, "--dest-tls-verify=false", f"oci:{image}:latest", name],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            pushed = time.monotonic()
            with tempfile.TemporaryDirectory(dir=bench.work) as place:
                subprocess.run(
                    [*command, "--src-tls-verify=false", name, f"oci:{place}/layout:latest"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                pulled = time.monotonic()
            return (pushed - start) * 1e3, (pulled - pushed) * 1e3

        samplers = {name: (lambda peer=peer: sample(peer)) for name, peer in bench.peers.items()}
        pushes, pulls = pairs_in_turns(samplers, bench.rounds)
        results += [
            Result(
                f"{client}-push",
                f"{client} copy to it, 8 × 16 MiB",
                "ms",
                pushes,
                beside(bench, 1.0, at_least=False),
            ),
            Result(
                f"{client}-pull",
                f"{client} copy from it, 8 × 16 MiB",
                "ms",
                pulls,
                beside(bench, 1.0, at_least=False),
            ),
        ]
    return results


def lists(bench: Bench) -> list[Result]:
    """A page of 100 from the middle of ever longer lists; corten's alone, by the curve."""
    results = []
    for scenario, title, sizes in (
        ("catalog", "page of the catalog, of so many repositories", (100, 1_000, 10_000)),
        ("tags", "page of the tags, of so many in one repository", (100, 1_000, 10_000, 100_000)),
    ):
        series, x = {}, {}
        for size in sizes:
            name = f"{size:,}"
            x[name] = float(size)
            series[name] = Series(name, _page_times(bench, scenario, size))
        targets = [Target("", 10.0, ours=f"{sizes[-1]:,}")]
        results.append(Result(scenario, title, "ms", series, targets, x=x))
    return results


def _page_times(bench: Bench, scenario: str, size: int) -> list[float]:
    server = Corten(bench.work / f"{scenario}-{size}")
    server.root.mkdir(parents=True)
    try:
        fill.database(
            server.root / "registry.db", **{"repositories" if scenario == "catalog" else "tags": size}
        )
        server.start()
        middle = fill.name_of(size // 2)
        path = f"/v2/_catalog?n=100&last={middle}"
        if scenario == "tags":
            path = f"/v2/{fill.name_of(0)}/tags/list?n=100&last={middle}"
        connection = http.client.HTTPConnection(server.host)
        samples = []
        for _ in range(100 * bench.rounds):
            start = time.monotonic()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            samples.append((time.monotonic() - start) * 1e3)
        found = json.loads(body)
        assert len(found.get("tags") or found.get("repositories")) == min(100, size - size // 2 - 1), body[
            :200
        ]
        connection.close()
        return [statistics.median(samples)]
    finally:
        server.stop()
        shutil.rmtree(server.root.parent, ignore_errors=True)


def footprint(bench: Bench) -> list[Result]:
    """Memory after everything that was measured before; and how soon it serves."""
    memory = {name: Series(name, [peer.memory()]) for name, peer in bench.peers.items()}
    ready = {name: Series(name) for name in bench.peers}
    for _ in range(bench.rounds):
        for name, peer in bench.peers.items():
            peer.stop()
            time.sleep(REST)
            ready[name].samples.append(peer.start())
    return [
        Result("memory", "memory after all of this", "MiB", memory, [Target("", 150)]),
        Result("ready", "ready to serve", "ms", ready, [Target("", 700)]),
    ]


SCENARIOS: dict[str, Callable[[Bench], list[Result]]] = {
    "uploads": uploads,
    "clients": clients,
    "downloads": downloads,
    "requests": small_requests,
    "footprint": footprint,
    "lists": lists,
}
