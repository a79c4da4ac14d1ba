"""Samples in turns, medians and ratios. A failed run is an error, never a sample: a failure is fast."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

REST = 0.3  # seconds between two samples


@dataclass
class Series:
    """What one peer's samples of one scenario were, in the scenario's unit."""

    peer: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


@dataclass(frozen=True)
class Target:
    """`ours` compared with `peer` must be at most (or at least) `bound` times the peer's figure.

    With peer "" the bound is absolute, in the scenario's unit.
    """

    peer: str
    bound: float
    ours: str = "corten"
    at_least: bool = False


@dataclass
class Result:
    """One row group of the table. With `x`, the chart is a curve: where each series lies on a logarithmic
    axis."""

    scenario: str
    title: str
    unit: str
    series: dict[str, Series]
    targets: list[Target]
    x: dict[str, float] | None = None

    def ratio(self, target: Target) -> float:
        ours = self.series[target.ours].median
        return ours / self.series[target.peer].median if target.peer else ours

    def met(self, target: Target) -> bool:
        ratio = self.ratio(target)
        return ratio >= target.bound if target.at_least else ratio <= target.bound


def in_turns(
    samplers: Mapping[str, Callable[[], float]], rounds: int, *, warmup: int = 1
) -> dict[str, Series]:
    """Call every sampler once a round, A B C A B C, so that a drift of the machine meets all alike.

    Each begins when the one before has come to rest: what it left to the background is not measured as ours.
    """
    series = {name: Series(name) for name in samplers}
    names = list(samplers)
    for turn in range(warmup + rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(REST)
            value = samplers[name]()
            if turn >= warmup:
                series[name].samples.append(value)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return series


def timed(function: Callable[[], object]) -> Callable[[], float]:
    """A sampler, in milliseconds, of how long `function` takes."""

    def sample() -> float:
        begin = time.monotonic_ns()
        function()
        return (time.monotonic_ns() - begin) / 1e6

    return sample
