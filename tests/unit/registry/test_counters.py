from __future__ import annotations

import os

import pytest

from corten.registry.counters import BOUNDS, Layout, SharedCounters


@pytest.fixture
def shared() -> SharedCounters:
    return SharedCounters(Layout(["manifest", "none"]), 2)


def test_workers_are_added_up(shared: SharedCounters) -> None:
    series = shared.layout.series("GET", "manifest")
    pid = os.fork()
    if pid == 0:
        shared.of(1).count(series, 200, 0.2, 100)
        os._exit(0)
    os.waitpid(pid, 0)
    shared.of(0).count(series, 200, 0.0001, 11)
    shared.of(0).count(series, 418, 1000.0, 0)
    totals = shared.totals()
    assert list(totals.requests()) == [("GET", "manifest", "200", 2), ("GET", "manifest", "other", 1)]
    assert totals.single("bytes_sent") == 111
    ((method, resource, buckets, seconds),) = totals.durations()
    assert (method, resource, sum(buckets)) == ("GET", "manifest", 3)
    assert (buckets[0], buckets[-1], buckets[BOUNDS.index(0.25)]) == (1, 1, 1)
    assert seconds == pytest.approx(1000.2001, abs=1e-4)


def test_methods_that_are_none(shared: SharedCounters) -> None:
    series = shared.layout.series("NONSENSE", "none")
    shared.of(0).count(series, 400, 0.1, 1)
    assert list(shared.totals().requests()) == [("other", "none", "400", 1)]


def test_connections_of_a_worker_that_died_are_forgotten(shared: SharedCounters) -> None:
    shared.of(0).add("connections", 3)
    shared.of(1).add("connections", 2)
    shared.of(0).reset_connections()
    assert shared.totals().single("connections") == 2
