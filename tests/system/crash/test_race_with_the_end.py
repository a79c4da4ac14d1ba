"""A container that ends by itself in the middle of what is done to it."""

from __future__ import annotations

import asyncio
import random

import pytest

from corten.engine.paths import Paths
from corten.engine.results import CommitOptions
from corten.errors import Conflict
from tests.system.crash.conftest import running

pytestmark = pytest.mark.root


async def test_pause_and_commit(busybox_paths: Paths) -> None:
    """The cgroup goes while it is being frozen: it has ended, which is what pausing is told."""
    chance = random.Random(7)
    async with running(busybox_paths) as boat:
        for turn in range(40):
            identity = await boat.start("true")
            await asyncio.sleep(chance.uniform(0, 0.004))
            if turn % 2:
                await boat.containers.commit(CommitOptions(container=identity, repository="ended"))
                continue
            try:
                await boat.containers.pause(identity)
                await boat.containers.unpause(identity)
            except Conflict:
                continue
