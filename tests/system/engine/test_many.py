"""Many containers: one after the other, at once, and all of them gone without a trace."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root


def traces(boat: Boat) -> dict[str, int]:
    """What could pile up: descriptors, mounts, cgroups, processes, files."""
    paths = boat.engine.paths
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "containers": len(os.listdir(paths.containers)),
        "runs": len(os.listdir(paths.container_runs)),
        "rows": boat.engine._core.connection.execute("SELECT count(*) FROM containers").fetchone()[0],
        "tasks": len(asyncio.all_tasks()),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }


async def many(boat: Boat, count: int, at_once: int) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            identity = await boat.create("true", host={"auto_remove": True})
            waiter = boat.containers.wait(identity, "removed")
            await boat.containers.start(identity)
            assert (await waiter.result()).status_code == 0

    await asyncio.gather(*(one() for _ in range(count)))


async def test_a_hundred_leave_nothing(boat: Boat) -> None:
    await many(boat, 20, 4)
    await asyncio.sleep(0.5)
    before = traces(boat)
    await many(boat, 100, 8)
    await settle(boat, before)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_thousand_leave_nothing(boat: Boat) -> None:
    await many(boat, 50, 8)
    await asyncio.sleep(0.5)
    before = traces(boat)
    await many(boat, 2000, 16)
    await settle(boat, before)


def no_more(after: dict[str, int], before: dict[str, int]) -> bool:
    """Less is fine: what the first containers had left was still going when it was counted."""
    return all(after[name] <= before[name] for name in before)


async def settle(boat: Boat, before: dict[str, int]) -> None:
    for _ in range(100):
        if no_more(traces(boat), before) and not os.listdir(boat.engine.paths.trash):
            break
        await asyncio.sleep(0.1)
    after = traces(boat)
    assert no_more(after, before), (before, after)
    assert not os.listdir(boat.engine.paths.trash)
    assert not [
        directory
        for directory in Path("/sys/fs/cgroup").glob("*/corten/*")
        if directory.name in {item.id for item in await boat.containers.list(all=True)}
    ]


@pytest.mark.slow
async def test_three_hundred_at_once(boat: Boat) -> None:
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> str:
        async with gate:
            return await boat.start("sleep", "300", name=f"crowd-{number}")

    identities = await asyncio.gather(*(one(number) for number in range(300)))
    listed = await boat.containers.list()
    assert len(listed) == 300
    assert {item.state for item in listed} == {"running"}
    code, _ = await boat.exec(identities[150], "true")
    assert code == 0

    async def remove(identity: str) -> None:
        async with gate:
            await boat.containers.remove(identity, force=True)

    await asyncio.gather(*(remove(identity) for identity in identities))
    assert not await boat.containers.list(all=True)
