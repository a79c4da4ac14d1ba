"""Caches in front of registries that tests make fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from tests.registry_server import Client, ServerProcess
from tests.upstream_server import Upstream

Start = Callable[..., ServerProcess]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts registries with the settings that are given."""
    started: list[ServerProcess] = []

    def start_one(**settings: Any) -> ServerProcess:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(ServerProcess(directory, **settings).start())
        return started[-1]

    yield start_one
    for server in started:
        server.close()


@pytest.fixture
def cache(start: Start, upstream: Upstream) -> ServerProcess:
    """`up/…` comes from the upstream; each tag is checked each time."""
    return start(upstreams={"up": {"url": upstream.url, "tag-ttl-seconds": 0}})


@pytest.fixture
def client(cache: ServerProcess) -> Client:
    return cache.client()
