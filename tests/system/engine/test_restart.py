"""Restart policies and healthchecks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from corten.api.container import Healthcheck
from corten.api.host_config import RestartPolicy
from corten.errors import InvalidArgument
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root
MS = 1_000_000


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.02)


async def test_on_failure_tries_as_often_as_it_may(boat: Boat, events: Callable[[], list[str]]) -> None:
    policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
    identity = await boat.create("sh", "-c", "exit 9", host={"restart_policy": policy})
    waiter = boat.containers.wait(identity, "next-exit")
    final = None
    await boat.containers.start(identity)
    await waiter.result()
    final = boat.containers.wait(identity, "not-running")
    assert (await asyncio.wait_for(final.result(), 10)).status_code == 9
    found = await boat.containers.inspect(identity)
    assert (found.state.status, found.restart_count) == ("exited", 2)
    assert events().count("start") == 3


async def test_on_failure_leaves_success_alone(boat: Boat) -> None:
    ran = await boat.run("true", host={"restart_policy": RestartPolicy(name="on-failure")})
    await asyncio.sleep(0.3)
    assert await boat.status(ran.id) == "exited"


async def test_always_goes_on_until_it_is_stopped(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "exit 0", host={"restart_policy": RestartPolicy(name="always")})
    container = boat.engine._core.catalog.resolve(identity)
    await until(lambda: container.state.restart_count >= 2)
    await boat.containers.stop(identity)
    count = container.state.restart_count
    await asyncio.sleep(0.5)
    assert await boat.status(identity) == "exited"
    assert container.state.restart_count == count


async def test_a_policy_that_is_none(boat: Boat) -> None:
    with pytest.raises(InvalidArgument, match="invalid restart policy"):
        await boat.create("true", host={"restart_policy": RestartPolicy(name="sometimes")})
    with pytest.raises(InvalidArgument, match="AutoRemove"):
        await boat.create("true", host={"restart_policy": RestartPolicy(name="always"), "auto_remove": True})


async def test_health_goes_from_starting_to_healthy_to_unhealthy(
    boat: Boat, events: Callable[[], list[str]]
) -> None:
    check = Healthcheck(test=["CMD-SHELL", "echo checked; test -e /tmp/well"], interval=50 * MS, retries=2)
    identity = await boat.start("sh", "-c", "touch /tmp/well; sleep 60", healthcheck=check)
    container = boat.engine._core.catalog.resolve(identity)

    def status() -> str:
        assert container.state.health is not None
        return container.state.health.status

    assert status() == "starting"
    await until(lambda: status() == "healthy")
    health = (await boat.containers.inspect(identity)).state.health
    assert health.log[-1].output == "checked\n"
    await boat.exec(identity, "rm", "/tmp/well")
    await until(lambda: status() == "unhealthy")
    summary = await boat.containers.list(filters={"health": ["unhealthy"]})
    assert "(unhealthy)" in summary[0].status
    assert "health_status: healthy" in events() and "health_status: unhealthy" in events()


async def test_a_check_that_hangs_counts_as_failed(boat: Boat) -> None:
    check = Healthcheck(test=["CMD", "sleep", "30"], interval=50 * MS, timeout=200 * MS, retries=1)
    identity = await boat.start("sleep", "60", healthcheck=check)
    container = boat.engine._core.catalog.resolve(identity)
    await until(lambda: container.state.health is not None and container.state.health.status == "unhealthy")
    assert "exceeded timeout" in container.state.health.log[-1].output
