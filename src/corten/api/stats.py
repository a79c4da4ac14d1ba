"""A container's use of the host, as GET /containers/{id}/stats streams it (Docker's names are snake_case)."""

from __future__ import annotations

import msgspec


class Stat(msgspec.Struct, kw_only=True):
    """The base: these names are the same on the wire."""


class PidsStats(Stat, kw_only=True):
    current: int = 0
    limit: int = 0


class BlkioEntry(Stat, kw_only=True):
    major: int
    minor: int
    op: str
    value: int


class BlkioStats(Stat, kw_only=True):
    io_service_bytes_recursive: list[BlkioEntry] | None = None
    io_serviced_recursive: list[BlkioEntry] | None = None
    io_queue_recursive: list[BlkioEntry] | None = None
    io_service_time_recursive: list[BlkioEntry] | None = None
    io_wait_time_recursive: list[BlkioEntry] | None = None
    io_merged_recursive: list[BlkioEntry] | None = None
    io_time_recursive: list[BlkioEntry] | None = None
    sectors_recursive: list[BlkioEntry] | None = None


class CPUUsage(Stat, kw_only=True):
    """Nanoseconds."""

    total_usage: int = 0
    percpu_usage: list[int] | msgspec.UnsetType = msgspec.UNSET
    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class ThrottlingData(Stat, kw_only=True):
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class CPUStats(Stat, kw_only=True):
    cpu_usage: CPUUsage = msgspec.field(default_factory=CPUUsage)
    system_cpu_usage: int | msgspec.UnsetType = msgspec.UNSET
    online_cpus: int | msgspec.UnsetType = msgspec.UNSET
    throttling_data: ThrottlingData = msgspec.field(default_factory=ThrottlingData)


class MemoryStats(Stat, kw_only=True):
    """Bytes; `stats` is the kernel's memory.stat (cgroup v1: `total_inactive_file`; v2: `inactive_file`)."""

    usage: int | msgspec.UnsetType = msgspec.UNSET
    max_usage: int | msgspec.UnsetType = msgspec.UNSET
    stats: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    failcnt: int | msgspec.UnsetType = msgspec.UNSET
    limit: int | msgspec.UnsetType = msgspec.UNSET


class NetworkStats(Stat, kw_only=True):
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class ContainerStats(Stat, kw_only=True):
    """One sample; `precpu_stats` is the sample before, so that a client can compute a percentage."""

    name: str
    id: str
    read: str = "0001-01-01T00:00:00Z"
    preread: str = "0001-01-01T00:00:00Z"
    pids_stats: PidsStats = msgspec.field(default_factory=PidsStats)
    blkio_stats: BlkioStats = msgspec.field(default_factory=BlkioStats)
    num_procs: int = 0
    storage_stats: dict[str, int] = {}
    cpu_stats: CPUStats = msgspec.field(default_factory=CPUStats)
    precpu_stats: CPUStats = msgspec.field(default_factory=CPUStats)
    memory_stats: MemoryStats = msgspec.field(default_factory=MemoryStats)
    networks: dict[str, NetworkStats] | msgspec.UnsetType = msgspec.UNSET
