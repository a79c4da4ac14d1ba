"""`stats`: what a container uses of the host, in Docker's form."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from corten.api.stats import (
    BlkioEntry,
    BlkioStats,
    ContainerStats,
    CPUStats,
    CPUUsage,
    MemoryStats,
    NetworkStats,
    PidsStats,
    ThrottlingData,
)
from corten.engine.cgroups import container_cgroup
from corten.engine.core import Core
from corten.engine.record import Container
from corten.engine.timestamp import ZERO, now, rfc3339
from corten.runtime.cgroup.stats import IoStats, Stats

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_COUNTERS = (
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
)
# Columns of /proc/net/dev after the name, for the counters above.
_COLUMNS = (0, 1, 2, 3, 8, 9, 10, 11)


class Sampling:
    """Takes samples of containers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def stats(
        self, container: Container, *, stream: bool, one_shot: bool
    ) -> AsyncIterator[ContainerStats]:
        """One a second while `stream`; else one, with the sample of a second before unless `one_shot`."""
        previous = self.sample(container)
        if one_shot:
            yield previous
            return
        if stream:
            yield previous
        while container.id in self._core.catalog:
            await asyncio.sleep(1)
            current = self.sample(container)
            current.precpu_stats, current.preread = previous.cpu_stats, previous.read
            if previous.cpu_stats.system_cpu_usage == 0 or previous.read == ZERO:
                current.precpu_stats = CPUStats()
            yield current
            if not stream:
                return
            previous = current

    def sample(self, container: Container) -> ContainerStats:
        """One that does not run has used nothing, as Docker says it."""
        result = ContainerStats(name="/" + container.name, id=container.id)
        cgroup = container_cgroup(self._core, container) if container.state.status.has_process else None
        if cgroup is None:
            return result
        stats = cgroup.stats()
        result.read = rfc3339(now())
        result.cpu_stats = _cpu(stats)
        result.memory_stats = _memory(stats)
        result.pids_stats = PidsStats(current=stats.pids.current, limit=stats.pids.limit or 0)
        result.blkio_stats = _blkio(stats.io)
        if not container.host_config.network_mode.startswith(("host", "container:")):
            result.networks = _networks(container.state.pid)
        return result


def _cpu(stats: Stats) -> CPUStats:
    cpu = stats.cpu
    usage = CPUUsage(total_usage=cpu.total, usage_in_kernelmode=cpu.system, usage_in_usermode=cpu.user)
    if cpu.percpu:
        usage.percpu_usage = list(cpu.percpu)
    return CPUStats(
        cpu_usage=usage,
        system_cpu_usage=_system_cpu(),
        online_cpus=os.cpu_count() or 1,
        throttling_data=ThrottlingData(
            periods=cpu.periods,
            throttled_periods=cpu.throttled_periods,
            throttled_time=cpu.throttled_time,
        ),
    )


def _system_cpu() -> int:
    """All CPU time of the host, in ns."""
    with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.readline().split()[1:8]
    return sum(int(field) for field in fields) * 1_000_000_000 // _TICKS


def _memory(stats: Stats) -> MemoryStats:
    memory = stats.memory
    return MemoryStats(
        usage=memory.usage,
        max_usage=memory.peak,
        stats=memory.stats,
        failcnt=memory.failures,
        limit=memory.limit if memory.limit is not None else os.sysconf("SC_PHYS_PAGES") * _PAGE,
    )


def _blkio(devices: tuple[IoStats, ...]) -> BlkioStats:
    moved, counted = [], []
    for device in devices:
        for op, size, count in (
            ("read", device.read_bytes, device.reads),
            ("write", device.write_bytes, device.writes),
        ):
            moved.append(BlkioEntry(major=device.major, minor=device.minor, op=op, value=size))
            counted.append(BlkioEntry(major=device.major, minor=device.minor, op=op, value=count))
    return BlkioStats(io_service_bytes_recursive=moved, io_serviced_recursive=counted)


def _networks(pid: int) -> dict[str, NetworkStats]:
    """The interfaces in the network namespace of `pid`, without the loopback."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return {}
    result = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            fields = rest.split()
            values = {key: int(fields[column]) for key, column in zip(_COUNTERS, _COLUMNS, strict=True)}
            result[name.strip()] = NetworkStats(**values)
    return result
