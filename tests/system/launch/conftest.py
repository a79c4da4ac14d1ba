"""Fixtures of the launch tests (see harness)."""

from __future__ import annotations

import pytest

from tests.system.launch.harness import Peer, run


@pytest.fixture
def scene(tmp_path):
    """`scene(scenario)` runs the coroutine function `scenario` with a Harness."""
    return lambda scenario: run(tmp_path, scenario)


@pytest.fixture
def peer():
    """Makes Peers and closes them."""
    peers = []

    def make(**options):
        peers.append(Peer(**options))
        return peers[-1]

    yield make
    for each in peers:
        each.close()
        each.theirs.close()
