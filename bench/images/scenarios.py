"""What is measured. Each function takes the bench and gives Results; heavy samples are seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.images import indexing, inside
from bench.images.peers import ImagePeer, Skopeo
from bench.images.registry import Registry
from bench.images.workload import VARIANTS, Variant, Workload, archive_name
from bench.measure import Result, Series, Target, in_turns
from bench.memory import peak_of
from bench.worker import Worker

_PYTHON = ("python3", "-c", "print(1)")
_PROGRAM = "import numpy"
_FIRST_PULL = "docker's first pull"
_PLAIN = "plain ext4"
_PASSES = "5"


@dataclass
class Bench:
    """`peers` by name; corten is among them, the others may be missing. `registry` has the workload's
    images; `corten_copy` is skopeo's copy, by corten, in seconds."""

    work: Path
    workload: Workload
    registry: Registry
    peers: dict[str, ImagePeer]
    skopeo: Skopeo | None
    plain: Worker
    corten_copy: Callable[[str, str], float]
    rounds: int
    variants: tuple[Variant, ...] = VARIANTS
    notes: list[str] = field(default_factory=list)

    def reference(self, variant: Variant, tag: str) -> str:
        return f"{self.registry.host}/{variant.repository}:{tag}"

    def samplers(self, sample: Callable[[ImagePeer], float]) -> dict[str, Callable[[], float]]:
        return {name: partial(sample, peer) for name, peer in self.peers.items()}

    def in_turns(self, sample: Callable[[ImagePeer], float], rounds: int = 0) -> dict[str, Series]:
        """Every peer; without a warm-up, as all begins cold."""
        return in_turns(self.samplers(sample), rounds or self.rounds, warmup=0)

    def targets(self, *wanted: Target) -> list[Target]:
        """Those whose peer takes part."""
        return [target for target in wanted if target.peer in self.peers]

    def need(self, peer: ImagePeer, variant: Variant) -> str:
        """The reference of the first image, which the peer has then."""
        reference = self.reference(variant, "first")
        if reference not in peer.present:
            peer.clear()
            peer.pull(reference)
        return reference


def drop_caches() -> None:
    """The kernel's, of files and of their names."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def _from_cold(operation: Callable[[], float]) -> float:
    drop_caches()
    return operation()


def pull(bench: Bench, variant: Variant) -> list[Result]:
    """From nothing to a container that has run; then the second image."""
    first, second = bench.reference(variant, "first"), bench.reference(variant, "second")
    pulls = {name: Series(name) for name in bench.peers}
    seconds = {name: Series(name) for name in bench.peers}

    def sample(peer: ImagePeer) -> float:
        peer.clear()
        pulled = _from_cold(lambda: peer.pull(first))
        ran = peer.run(first, *_PYTHON)
        pulls[peer.name].samples.append(pulled)
        seconds[peer.name].samples.append(_from_cold(lambda: peer.pull(second)))
        return pulled + ran

    total = bench.in_turns(sample)
    if "docker" in pulls:
        seconds[_FIRST_PULL] = Series(_FIRST_PULL, pulls["docker"].samples)
    key, title = variant.repository, variant.title
    wanted = bench.targets(Target("docker", 1 / 4), Target("podman", 1 / 4))
    rest = [Target(_FIRST_PULL, 1 / 10)] if "docker" in bench.peers else []
    return [
        Result(f"cold-{key}", f"from nothing to `python3 -c 'print(1)'`, {title}", "s", total, wanted),
        Result(f"pull-{key}", f"the pull of it, {title}", "s", pulls, []),
        Result(f"second-{key}", f"pull of a second image with one more layer, {title}", "s", seconds, rest),
    ]


def copy(bench: Bench, variant: Variant) -> list[Result]:
    """From the registry to an image layout, nothing unpacked."""
    skopeo, source = bench.skopeo, f"docker://{bench.reference(variant, 'first')}"
    if skopeo is None:
        return []
    target = bench.work / "copied"

    def ours() -> float:
        subprocess.run(["rm", "-rf", str(target)], check=True)
        return _from_cold(lambda: bench.corten_copy(source, f"oci:{target}:it"))

    samplers = {"corten": ours, "skopeo": lambda: _from_cold(lambda: skopeo.copy(source))}
    series = in_turns(samplers, bench.rounds, warmup=0)
    title = f"copy from the registry to an image layout, {variant.title}"
    return [Result(f"copy-{variant.repository}", title, "s", series, [])]


def load(bench: Bench, variant: Variant) -> list[Result]:
    archive, name = bench.workload.archive(variant), archive_name(variant)

    def sample(peer: ImagePeer) -> float:
        peer.clear()
        return _from_cold(lambda: peer.load(archive, name))

    title = f"load of a docker-archive, {variant.title}"
    wanted = bench.targets(Target("docker", 1 / 3))
    return [Result(f"load-{variant.repository}", title, "s", bench.in_turns(sample), wanted)]


def save(bench: Bench, variant: Variant) -> list[Result]:
    archive = bench.work / "saved.tar"

    def sample(peer: ImagePeer) -> float:
        reference = bench.need(peer, variant)
        try:
            return _from_cold(lambda: peer.save(archive, reference))
        finally:
            archive.unlink(missing_ok=True)

    title = f"save of the pulled image, {variant.title}"
    wanted = bench.targets(Target("docker", 1 / 2))
    return [Result(f"save-{variant.repository}", title, "s", bench.in_turns(sample), wanted)]


def push(bench: Bench, variant: Variant) -> list[Result]:
    """To a registry that has nothing."""
    storage = bench.work / "pushed"

    def sample(peer: ImagePeer) -> float:
        reference = bench.need(peer, variant)
        with Registry(storage) as registry:
            target = f"{registry.host}/pushed:first"
            peer.tag(reference, target)
            seconds = _from_cold(lambda: peer.push(target))
        subprocess.run(["rm", "-rf", str(storage)], check=True)
        return seconds

    title = f"push of the pulled image to an empty registry, {variant.title}"
    wanted = bench.targets(Target("docker", 1))
    return [Result(f"push-{variant.repository}", title, "s", bench.in_turns(sample), wanted)]


def memory(bench: Bench, variant: Variant) -> list[Result]:
    reference = bench.reference(variant, "first")

    def sample(peer: ImagePeer) -> float:
        peer.clear()
        with peak_of(peer.owner) as peak:
            peer.pull(reference)
        return peak.mib

    series = bench.in_turns(sample, max(1, bench.rounds // 3))
    title = f"peak memory of a pull, engine and workers, PSS, {variant.title}"
    return [Result(f"memory-{variant.repository}", title, "MiB", series, [Target("", 150)])]


def read(bench: Bench, variant: Variant) -> list[Result]:
    """All files of a running container, warm; beside the same tree on the file system below."""
    title = f"reading all files of the container, warm, {variant.title}"
    wanted = [Target(_PLAIN, 0.9, at_least=True)]
    return [
        Result(f"read-{variant.repository}", title, "MB/s", _reading(bench, variant, "descriptors"), wanted),
        Result(
            f"read-paths-{variant.repository}",
            f"the same, each file by its full path, {variant.title}",
            "MB/s",
            _reading(bench, variant, "paths"),
            [],
        ),
    ]


def _reading(bench: Bench, variant: Variant, way: str) -> dict[str, Series]:
    command = ("python3", "-c", Path(inside.__file__).read_text(), _PASSES, way)

    def rate(output: str) -> float:
        """The best pass: what disturbs makes it slower, never faster."""
        passes = [line.split() for line in output.splitlines()]
        return max(int(size) / float(seconds) / 1e6 for _, size, seconds in passes)

    def sample(peer: ImagePeer) -> float:
        return rate(peer.output(bench.need(peer, variant), *command))

    def plain() -> float:
        return rate(bench.plain.output(["chroot", str(bench.workload.tree), *command]))

    return in_turns({**bench.samplers(sample), _PLAIN: plain}, bench.rounds, warmup=0)


def program(bench: Bench, variant: Variant) -> list[Result]:
    """A program in a container that runs already, caches dropped: only its files have to be read."""
    shared = {name: bench.work / f"shared-{name.replace(' ', '-')}" for name in bench.peers}
    body = f"python3 -c '{_PROGRAM}' 2>/bench/errors; echo $? >/bench/done"
    running: dict[str, str] = {}

    def sample(peer: ImagePeer) -> float:
        directory = shared[peer.name]
        drop_caches()
        begin = time.perf_counter()
        (directory / "go").write_text("go\n")
        status = (directory / "done").read_text().strip()
        seconds = time.perf_counter() - begin
        if status != "0":
            raise RuntimeError(f"{peer.name}: {_PROGRAM}: {(directory / 'errors').read_text()}")
        return seconds * 1e3

    try:
        for name, peer in bench.peers.items():
            shared[name].mkdir()
            for fifo in ("go", "done"):
                os.mkfifo(shared[name] / fifo)
            loop = f"while read line </bench/go; do {body}; done"
            running[name] = peer.start(bench.need(peer, variant), shared[name], "sh", "-c", loop)
        series = in_turns(bench.samplers(sample), bench.rounds * 3)
    finally:
        for name, container in running.items():
            bench.peers[name].stop(container)
        for directory in shared.values():
            shutil.rmtree(directory, ignore_errors=True)
    title = f"`python3 -c '{_PROGRAM}'` in a running container, from cold, {variant.title}"
    wanted = bench.targets(Target("docker", 1))
    return [Result(f"program-{variant.repository}", title, "ms", series, wanted)]


def index(bench: Bench) -> list[Result]:
    """In this process: no worker, no download, no inflating."""
    tars = {count: bench.work / f"{count}.tar" for count in indexing.COUNTS}
    for count, tar in tars.items():
        indexing.layer(tar, count)
    names = {count: f"{count:,} files" for count in tars}
    samplers = {names[count]: partial(indexing.per_file, tar, count) for count, tar in tars.items()}
    series = in_turns(samplers, max(3, bench.rounds))
    for tar in tars.values():
        tar.unlink()
    turns = zip(*(series[name].samples for name in names.values()), strict=True)
    slopes = [indexing.slope(dict(zip(map(float, names), turn, strict=True))) for turn in turns]
    return [
        Result(
            "indexing",
            "indexing a layer, per file",
            "µs",
            series,
            [],
            x={name: float(count) for count, name in names.items()},
        ),
        Result(
            "slope",
            "indexing: time per file with ten times as many files",
            "×",
            {"corten": Series("corten", slopes)},
            [Target("", 1.1)],
        ),
    ]


def _each(scenario: Callable[[Bench, Variant], list[Result]]) -> Callable[[Bench], list[Result]]:
    return lambda bench: [result for variant in bench.variants for result in scenario(bench, variant)]


# An image that one scenario has pulled serves those behind it.
SCENARIOS: dict[str, Callable[[Bench], list[Result]]] = {
    "pull": _each(pull),
    "memory": _each(memory),
    "save": _each(save),
    "push": _each(push),
    "read": _each(read),
    "program": _each(program),
    "load": _each(load),
    "copy": _each(copy),
    "index": index,
}

ORDER = (
    "cold",
    "pull",
    "second",
    "load",
    "save",
    "push",
    "copy",
    "memory",
    "read",
    "program",
    "indexing",
    "slope",
)
"""Of results in the table, by the first word of their names."""
