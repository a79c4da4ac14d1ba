"""What is measured. Each function takes the bench and gives Results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.build import contexts, pip_install
from bench.build.peers import Builder
from bench.engines import MissingPeer
from bench.images.registry import Registry
from bench.images.scenarios import drop_caches
from bench.measure import Result, Series, Target, in_turns

Sample = Callable[[Builder], float]


@dataclass
class Bench:
    """`builders` by name; corten is among them, the others may be missing."""

    work: Path
    builders: dict[str, Builder]
    registry: Registry | None
    rounds: int
    notes: list[str] = field(default_factory=list)

    @property
    def corten(self) -> Builder:
        return self.builders["corten"]

    def in_turns(self, sample: Sample, *, warmup: int = 1, rounds: int = 0) -> dict[str, Series]:
        samplers = {name: partial(sample, builder) for name, builder in self.builders.items()}
        return in_turns(samplers, rounds or self.rounds, warmup=warmup)

    def result(self, key: str, title: str, series: dict[str, Series], docker: float) -> Result:
        wanted = [Target("docker", docker)] if "docker" in series else []
        return Result(key, title, "ms", series, wanted)


def steps(bench: Bench) -> list[Result]:
    """FROM and 10 RUN."""
    context = contexts.dockerfile(bench.work / "steps", contexts.TEN_RUNS)
    cold = bench.in_turns(lambda builder: builder.build(context, "--no-cache"))
    cached = bench.in_turns(lambda builder: builder.build(context))
    return [
        bench.result("ten-cold", "FROM and 10 RUN, cold", cold, 1 / 15),
        bench.result("ten-cached", "FROM and 10 RUN, all cached, whole command", cached, 1.0),
    ]


def files(bench: Bench) -> list[Result]:
    """10,000 small files."""
    context = contexts.small_files(bench.work / "small", 10_000)
    changes = itertools.count()

    def cold(builder: Builder) -> float:
        builder.forget()
        drop_caches()
        return builder.build(context, "--no-cache")

    def unchanged(builder: Builder) -> float:
        return builder.build(context)

    def changed(builder: Builder) -> float:
        (context / "directory7/file777").write_text(f"changed {next(changes)}\n")
        return builder.build(context)

    title = "a context of 10,000 small files"
    return [
        bench.result("files-cold", f"{title}, cold", bench.in_turns(cold, warmup=0), 1 / 4),
        bench.result("files-unchanged", f"{title}, unchanged", bench.in_turns(unchanged), 1 / 20),
        bench.result("files-changed", f"{title}, one file changed", bench.in_turns(changed), 1 / 8),
    ]


def big(bench: Bench) -> list[Result]:
    """One file of 500 MB."""
    context = contexts.big_file(bench.work / "big")

    def cold(builder: Builder) -> float:
        builder.forget()
        drop_caches()
        return builder.build(context, "--no-cache")

    unchanged = partial(_unchanged, context)
    return [
        bench.result("big-cold", "one file of 500 MB, cold", bench.in_turns(cold, warmup=0), 1 / 3),
        bench.result("big-unchanged", "one file of 500 MB, unchanged", bench.in_turns(unchanged), 1 / 10),
    ]


def _unchanged(context: Path, builder: Builder) -> float:
    return builder.build(context)


def stages(bench: Bench) -> list[Result]:
    """Independent stages, and one that nobody uses."""
    two = contexts.dockerfile(bench.work / "two", contexts.TWO_STAGES)
    parallel = bench.in_turns(lambda builder: builder.build(two, "--no-cache"), warmup=0)
    with_unused = contexts.dockerfile(bench.work / "unused", contexts.UNUSED_STAGE)
    without = contexts.dockerfile(bench.work / "used", contexts.USED_STAGE)
    samplers: dict[str, Callable[[], float]] = {
        "corten": lambda: bench.corten.build(with_unused, "--no-cache"),
        "corten without it": lambda: bench.corten.build(without, "--no-cache"),
    }
    return [
        Result("two-stages", "two independent stages of 3 s", "ms", parallel, [Target("", 3500.0)]),
        Result(
            "unused-stage",
            "a build with a stage of 3 s that nothing uses",
            "ms",
            in_turns(samplers, bench.rounds),
            [Target("corten without it", 1.25)],
        ),
    ]


def growth(bench: Bench) -> list[Result]:
    """An unchanged build against the number of files."""
    counts = (1_000, 10_000, 100_000)
    samplers: dict[str, Callable[[], float]] = {}
    for count in counts:
        context = contexts.small_files(bench.work / f"growth{count}", count)
        bench.corten.build(context)
        samplers[f"{count:,}"] = partial(bench.corten.build, context)
    series = in_turns(samplers, bench.rounds)
    each = {
        "corten": Series(
            "corten",
            [
                (large - small) * 1000 / (counts[2] - counts[0])
                for small, large in zip(
                    series[f"{counts[0]:,}"].samples, series[f"{counts[2]:,}"].samples, strict=True
                )
            ],
        )
    }
    return [
        Result(
            "growth",
            "unchanged build by the number of files",
            "ms",
            series,
            [],
            {f"{count:,}": float(count) for count in counts},
        ),
        Result("slope", "the slope of it: each file more", "µs", each, []),
    ]


def cache(bench: Bench) -> list[Result]:
    """A build's cache brought from a registry to a store that has nothing of it."""
    if bench.registry is None:
        return []
    context = contexts.small_files(bench.work / "cache", 2_000)
    lines = [contexts.COPY_ALL.rstrip(), *(f"RUN sleep 0.2 && echo {n} > /made{n}" for n in range(10))]
    contexts.dockerfile(context, "\n".join(lines) + "\n")
    where = f"type=registry,ref={bench.registry.host}/cache:bench"
    corten = bench.corten
    corten.forget()
    corten.build(context, "--cache-to", f"{where},mode=max")

    def cold() -> float:
        corten.forget()
        return corten.build(context)

    def imported() -> float:
        corten.forget()
        return corten.build(context, "--cache-from", where)

    series = in_turns({"corten": imported, "corten cold": cold}, bench.rounds)
    title = "10 RUN of 0.2 s over 2,000 files, its cache imported from a registry"
    return [Result("cache-import", title, "ms", series, [Target("corten cold", 0.5)])]


def pip(bench: Bench) -> list[Result]:
    """pip install with its cache in a cache mount."""
    corten = bench.corten
    try:
        archive = pip_install.base_archive()
    except MissingPeer as missing:
        bench.notes.append(str(missing))
        return []
    corten.import_image(archive, pip_install.BASE)
    names = pip_install.write_index(bench.work / "index")
    index = pip_install.Index(bench.work / "index")
    try:
        text = pip_install.dockerfile(names, index.url)
        context = contexts.dockerfile(bench.work / "pip", text)

        def cold() -> float:
            corten.forget()
            return corten.build(context, network="host")

        def again() -> float:
            return corten.build(context, "--no-cache", network="host")

        # In turns: what comes second finds what the cold one has left in the cache mount.
        series = in_turns({"corten cold": cold, "corten": again}, bench.rounds)
    finally:
        index.close()
    title = f"pip install of {len(names)} projects from source with a cache mount, second time"
    return [Result("pip", title, "ms", series, [Target("corten cold", 0.5)])]


SCENARIOS: dict[str, Callable[[Bench], list[Result]]] = {
    "steps": steps,
    "files": files,
    "big": big,
    "stages": stages,
    "growth": growth,
    "cache": cache,
    "pip": pip,
}
