"""Numbers in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from corten.registry.counters import BOUNDS, Totals
from corten.registry.metadata.records import Stored
from corten.version import __version__

PREFIX = "corten_registry_"
_ERRORS = ("database", "storage", "space", "unexpected")


def exposition(totals: Totals, stored: Stored | None, sizes: list[tuple[str, int]]) -> bytes:
    """All of them; what is `stored` is left out when it is not known."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(totals, stored, sizes))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, totals: Totals, stored: Stored | None, sizes: list[tuple[str, int]]) -> None:
        self._totals = totals
        self._stored = stored
        self._sizes = sizes

    def collect(self) -> Iterable[Metric]:
        yield _gauge("info", "The registry that answers", 1, version=__version__)
        yield from self._requests()
        yield from self._collected()
        yield from self._kept()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            PREFIX + "requests", "Requests that were answered", labels=("method", "resource", "status")
        )
        for *labels, number in self._totals.requests():
            requests.add_metric([str(label) for label in labels], number)
        yield requests
        durations = HistogramMetricFamily(
            PREFIX + "request_duration_seconds",
            "From a request's head to the end of its answer",
            labels=("method", "resource"),
        )
        for method, resource, buckets, seconds in self._totals.durations():
            durations.add_metric([method, resource], _cumulative(buckets), seconds)
        yield durations
        single = self._totals.single
        yield _counter("received_bytes", "Bytes of requests' bodies", single("bytes_received"))
        yield _counter("sent_bytes", "Bytes of answers, with their heads", single("bytes_sent"))
        yield _gauge("connections", "Connections that are open", single("connections"))
        yield _counter("rate_limited", "Requests that were answered with 429", single("limited"))
        yield _counter("access_log_lost_lines", "Lines that the access log lacks", single("access_log_lost"))
        errors = CounterMetricFamily(
            PREFIX + "errors", "Requests that failed by no fault of the client's", labels=("kind",)
        )
        for kind in _ERRORS:
            errors.add_metric([kind], single(f"errors_{kind}"))
        yield errors

    def _collected(self) -> Iterator[Metric]:
        for name, text in (
            ("runs", "Runs of the garbage collection"),
            ("links", "Blobs that were taken out of a repository"),
            ("blobs", "Blobs that were deleted"),
            ("bytes", "Bytes that were deleted"),
            ("uploads", "Uploads that were given up"),
        ):
            yield _counter(f"collected_{name}", text, self._totals.single(f"collected_{name}"))

    def _kept(self) -> Iterator[Metric]:
        if self._stored is None:
            return
        yield _gauge("blobs", "Blobs that are stored", self._stored.blobs)
        yield _gauge("blob_bytes", "Bytes of the blobs that are stored", self._stored.bytes)
        yield _gauge("manifests", "Manifests, each once in each repository", self._stored.manifests)
        yield _gauge("tags", "Tags", self._stored.tags)
        yield _gauge("repositories", "Repositories", self._stored.repositories)
        yield _gauge("uploads", "Uploads that are open", self._stored.uploads)
        if self._sizes:
            sizes = GaugeMetricFamily(
                PREFIX + "repository_bytes",
                "Bytes of a repository's blobs, shared ones in each",
                labels=("repository",),
            )
            for name, size in self._sizes:
                sizes.add_metric([name], size)
            yield sizes


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
        total += number
        found.append((bound, total))
    return found


def _counter(name: str, text: str, number: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=number)


def _gauge(name: str, text: str, number: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=tuple(labels))
    family.add_metric(list(labels.values()), number)
    return family
