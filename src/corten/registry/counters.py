"""What the registry counts: numbers in memory that its processes share.

Each worker has a part of its own, in which only it writes: counting takes no lock and no system call. A
worker that takes the place of one that died goes on in its part, so no counter ever goes down.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "other")
STATUSES = (
    *(200, 201, 202, 204, 206, 301, 302, 303, 304, 307),
    *(400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 416, 429, 431, 499),
    *(500, 501, 502, 503, 504, 507),
    0,
)
"""What has a number of its own; 0 is every other one."""
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0)
"""Upper ends of the durations' buckets in seconds; there is one more without an end."""
SINGLE = (
    "bytes_received",
    "bytes_sent",
    "connections",
    "errors_database",
    "errors_storage",
    "errors_space",
    "errors_unexpected",
    "collected_runs",
    "collected_links",
    "collected_blobs",
    "collected_bytes",
    "collected_uploads",
    "limited",
    "access_log_lost",
)
"""Numbers without labels. `connections` goes up and down; the others only go up."""

_OF_STATUS = {status: number for number, status in enumerate(STATUSES)}
_DURATIONS = len(BOUNDS) + 2
"""A histogram: a number for each bucket, and the sum in microseconds."""
_SERIES = len(STATUSES) + _DURATIONS


class _Statuses(dict[int, int]):
    def __missing__(self, status: int) -> int:
        return self[0]


class Series:
    """Where the requests of one method and resource are counted."""

    __slots__ = ("durations", "of_status")

    def __init__(self, first: int) -> None:
        self.of_status = _Statuses((status, first + number) for status, number in _OF_STATUS.items())
        self.durations = first + len(STATUSES)


class Layout:
    """Which number means what: the same in every worker."""

    def __init__(self, resources: Iterable[str]) -> None:
        self.names = [(method, resource) for resource in resources for method in METHODS]
        self._series = {
            name: Series(len(SINGLE) + number * _SERIES) for number, name in enumerate(self.names)
        }
        self.length = len(SINGLE) + len(self.names) * _SERIES

    def series(self, method: str, resource: str) -> Series:
        """Of one method and resource; KeyError for a resource that is none."""
        return self._series[method if method in METHODS else "other", resource]


class Counters:
    """One worker's numbers."""

    __slots__ = ("_values",)

    def __init__(self, values: memoryview[int]) -> None:
        self._values = values

    def add(self, name: str, number: int = 1) -> None:
        """Adds to one of `SINGLE`."""
        self._values[SINGLE.index(name)] += number

    def count(self, series: Series, status: int, seconds: float, sent: int) -> None:
        """A request that has been answered: `sent` bytes went out."""
        values = self._values
        values[series.of_status[status]] += 1
        first = series.durations
        values[first + bisect_left(BOUNDS, seconds)] += 1
        values[first + _DURATIONS - 1] += int(seconds * 1e6)
        values[_SENT] += sent

    def reset_connections(self) -> None:
        """A new worker has none, whatever the one before it had."""
        self._values[_CONNECTIONS] = 0


_SENT = SINGLE.index("bytes_sent")
_CONNECTIONS = SINGLE.index("connections")


class SharedCounters:
    """The parts of all workers. Made before they are forked."""

    def __init__(self, layout: Layout, workers: int) -> None:
        self.layout = layout
        self._workers = workers
        self._memory = memoryview(mmap.mmap(-1, max(1, workers) * layout.length * 8)).cast("q")

    def of(self, worker: int) -> Counters:
        """The part of one worker, counted from 0."""
        length = self.layout.length
        return Counters(self._memory[worker * length : (worker + 1) * length])

    def totals(self) -> Totals:
        """What all workers together have counted."""
        length = self.layout.length
        found = [0] * length
        for worker in range(self._workers):
            part = self._memory[worker * length : (worker + 1) * length].tolist()
            found = [one + other for one, other in zip(found, part, strict=True)]
        return Totals(self.layout, found)


class Totals:
    """Numbers, by their names."""

    def __init__(self, layout: Layout, values: list[int]) -> None:
        self._layout = layout
        self._values = values

    def single(self, name: str) -> int:
        """One of `SINGLE`."""
        return self._values[SINGLE.index(name)]

    def requests(self) -> Iterator[tuple[str, str, str, int]]:
        """Method, resource, status ("other") and number of requests, where there were any."""
        for method, resource in self._layout.names:
            of_status = self._layout.series(method, resource).of_status
            for status, place in of_status.items():
                if number := self._values[place]:
                    yield method, resource, str(status) if status else "other", number

    def durations(self) -> Iterator[tuple[str, str, list[int], float]]:
        """Method, resource, requests in each bucket, and seconds in all."""
        for method, resource in self._layout.names:
            first = self._layout.series(method, resource).durations
            *buckets, micros = self._values[first : first + _DURATIONS]
            if any(buckets):
                yield method, resource, buckets, micros / 1e6
