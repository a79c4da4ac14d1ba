"""CPU limits: `cpu` (v1: cpu.shares, cpu.cfs_*, cpu.rt_*; v2: cpu.weight, cpu.max) and `cpuset`.

https://docs.kernel.org/scheduler/sched-bwc.html, https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu
"""

from __future__ import annotations

import math

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import CPU
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy
from corten.runtime.cgroup.writes import Writes

MIN_SHARES, MAX_SHARES = 2, 262144
DEFAULT_PERIOD = 100_000


def weight_of_shares(shares: int) -> int:
    """v1's 2..262144 (default 1024) to v2's 1..10000 (default 100), as runc and crun agreed in 2025.

    A curve through (2, 1), (1024, 100) and (262144, 10000), so that both defaults meet.
    """
    shares = max(MIN_SHARES, min(MAX_SHARES, shares))
    power = math.log2(shares)
    return max(1, min(10000, math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34) - 1e-9)))


def shares_of_weight(weight: int) -> int:
    """The inverse, for showing."""
    power = (-125 + math.sqrt(125 * 125 + 4 * 612 * (math.log10(weight) + 7 / 34))) / 2
    return max(MIN_SHARES, min(MAX_SHARES, round(2**power)))


def cpu_writes(writes: Writes, cpu: CPU) -> None:
    """The writes for `cpu`, its cpuset included. Zero means "not asked for", as in runc."""
    if any(
        (cpu.shares, cpu.quota, cpu.period, cpu.burst, cpu.realtime_period, cpu.realtime_runtime, cpu.idle)
    ):
        found = writes.hierarchy("cpu", "the CPU limit")
        if found is not None:
            _check(cpu)
            (_v2 if found.v2 else _v1)(writes, found, cpu)
    if cpu.cpus or cpu.mems:
        found = writes.hierarchy("cpuset", f"the CPU set {cpu.cpus or cpu.mems}")
        if found is not None:
            _cpuset(writes, found, cpu)


def _check(cpu: CPU) -> None:
    if cpu.shares is not None and cpu.shares < 0:
        raise InvalidArgument(f"CPU shares must not be negative: {cpu.shares}")
    if cpu.period and not 1000 <= cpu.period <= 1_000_000:
        raise InvalidArgument(f"CPU period must be between 1000 and 1000000 microseconds: {cpu.period}")
    if cpu.quota and 0 < cpu.quota < 1000:
        raise InvalidArgument(f"CPU quota must be at least 1000 microseconds (1ms): {cpu.quota}")


def _v1(writes: Writes, found: Hierarchy, cpu: CPU) -> None:
    if cpu.shares:
        # The kernel clamps silently (MIN_SHARES, MAX_SHARES in kernel/sched/sched.h).
        kept = max(MIN_SHARES, min(MAX_SHARES, cpu.shares))
        writes.write(found, "cpu.shares", cpu.shares, expected=kept)
    if cpu.period:
        writes.write(found, "cpu.cfs_period_us", cpu.period)
    if cpu.quota:
        # Any negative number means none, and reads back as -1.
        writes.write(found, "cpu.cfs_quota_us", max(cpu.quota, -1))
    if cpu.burst:
        writes.write(found, "cpu.cfs_burst_us", cpu.burst)
    if cpu.realtime_period:
        writes.write(found, "cpu.rt_period_us", cpu.realtime_period)
    if cpu.realtime_runtime:
        writes.write(found, "cpu.rt_runtime_us", cpu.realtime_runtime)
    if cpu.idle:
        writes.write(found, "cpu.idle", cpu.idle)


def _v2(writes: Writes, found: Hierarchy, cpu: CPU) -> None:
    if cpu.realtime_period or cpu.realtime_runtime:
        writes.missing("a realtime CPU limit cannot be kept: cgroup v2 has none")
    if cpu.shares and not cpu.idle:
        writes.write(found, "cpu.weight", weight_of_shares(cpu.shares))
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        writes.write(found, "cpu.max", f"{quota} {cpu.period or DEFAULT_PERIOD}")
    if cpu.burst:
        writes.write(found, "cpu.max.burst", cpu.burst)
    if cpu.idle:
        writes.write(found, "cpu.idle", cpu.idle)


def _cpuset(writes: Writes, found: Hierarchy, cpu: CPU) -> None:
    names = ("cpuset.cpus.effective", "cpuset.mems.effective")
    if not found.v2:
        names = ("cpuset.effective_cpus", "cpuset.effective_mems")
    for value, file, effective, word in (
        (cpu.cpus, "cpuset.cpus", names[0], "CPUs"),
        (cpu.mems, "cpuset.mems", names[1], "memory nodes"),
    ):
        if value:
            _check_available(value, found.mountpoint + "/" + effective, word)
            writes.write(found, file, value, apply.CPULIST)
        elif not found.v2:
            # v1: born empty, and a process is let in only when both files are set.
            writes.items.append(((writes.path(found, file), (), apply.INHERIT, ""),))


def _check_available(asked: str, path: str, word: str) -> None:
    try:
        wanted = apply.parse_cpulist(asked)
    except ValueError:
        raise InvalidArgument(f"not a list of {word}: {asked!r} (as in 0-3,5)") from None
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            available = file.read().strip()
    except OSError:  # an older kernel: let it judge itself
        return
    if available and not wanted <= apply.parse_cpulist(available):
        raise InvalidArgument(
            f"Requested {word} are not available - requested {asked}, available: {available}"
        )
