"""Limits are kept, and a limit that was hit is told."""

from __future__ import annotations

import pytest

from corten.api.host_config import ContainerUpdate, Ulimit
from corten.errors import InvalidArgument
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root
MIB = 1024 * 1024


async def test_out_of_memory_is_told_apart_from_a_kill(boat: Boat) -> None:
    eaten = await boat.run("tail", "/dev/zero", host={"memory": 16 * MIB, "memory_swap": 16 * MIB})
    state = (await boat.containers.inspect(eaten.id)).state
    assert (state.oom_killed, state.exit_code) == (True, 137)
    killed = await boat.start("sleep", "60", host={"memory": 16 * MIB})
    await boat.containers.kill(killed)
    state = (await boat.containers.inspect(killed)).state
    assert (state.oom_killed, state.exit_code) == (False, 137)


async def test_limits_are_seen_from_inside_and_can_be_changed(boat: Boat) -> None:
    identity = await boat.start(
        "sleep", "60", host={"memory": 64 * MIB, "pids_limit": 50, "nano_cpus": 500_000_000}
    )
    cgroup = (
        "for f in memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us"
        " memory.max pids.max cpu.max;"
        " do cat /sys/fs/cgroup/$f 2>/dev/null; done"
    )
    _, out = await boat.exec(identity, "sh", "-c", cgroup)
    assert out.split()[:3] == [str(64 * MIB), "50", "50000"]
    await boat.containers.update(
        identity, ContainerUpdate(memory=96 * MIB, memory_swap=192 * MIB, pids_limit=60)
    )
    _, out = await boat.exec(identity, "sh", "-c", cgroup)
    assert out.split()[:2] == [str(96 * MIB), "60"]
    host = (await boat.containers.inspect(identity)).host_config
    assert (host.memory, host.pids_limit, host.nano_cpus) == (96 * MIB, 60, 500_000_000)


async def test_a_fork_bomb_stops_at_the_limit(boat: Boat) -> None:
    ran = await boat.sh(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo no-limit", host={"pids_limit": 8}
    )
    assert ran.code != 0
    assert "no-limit" not in ran.out


async def test_ulimits_and_shm(boat: Boat) -> None:
    ran = await boat.sh(
        "ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1 | awk '{print $2}'",
        host={"ulimits": [Ulimit(name="nofile", soft=100, hard=200)], "shm_size": 2 * MIB},
    )
    assert ran.out.split() == ["100", "200", "2048"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"memory": 1 * MIB}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 64 * MIB, "memory_swap": 32 * MIB}, "Minimum memoryswap limit should be larger"),
        ({"memory_swap": 32 * MIB}, "You should always set the Memory limit"),
        ({"memory": 32 * MIB, "memory_reservation": 64 * MIB}, "can not be less than memory reservation"),
        ({"nano_cpus": 10**12}, "Range of CPUs is from 0.01"),
        ({"nano_cpus": 10**9, "cpu_quota": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpuset_cpus": "4000"}, "Requested CPUs are not available"),
        ({"blkio_weight": 5}, "range of blkio weight"),
        ({"oom_score_adj": 2000}, "range for oom score adj"),
    ],
)
async def test_a_limit_that_makes_no_sense(boat: Boat, host: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await boat.create("true", host=host)
    assert not list(boat.engine.paths.containers.iterdir())
