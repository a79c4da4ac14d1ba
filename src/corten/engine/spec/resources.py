"""The limits of a container in the words of the runtime specification."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from corten.api.host_config import Resources as Limits
from corten.api.host_config import ThrottleDevice as Throttle
from corten.errors import InvalidArgument
from corten.oci.runtime_spec import (
    CPU,
    BlockIO,
    DeviceCgroup,
    Memory,
    Pids,
    Resources,
    Rlimit,
    ThrottleDevice,
    WeightDevice,
)

CPU_PERIOD = 100_000


def build_resources(limits: Limits, devices: tuple[DeviceCgroup, ...]) -> Resources:
    """`limits` as Docker translates them; `devices` are the rules of the device controller."""
    return Resources(
        devices=devices,
        memory=memory(limits),
        cpu=cpu(limits),
        pids=Pids(limit=limits.pids_limit) if limits.pids_limit and limits.pids_limit > 0 else None,
        block_io=block_io(limits),
    )


def memory(limits: Limits) -> Memory | None:
    """Without a limit of its own on swap, a container may swap as much as it has memory, as in Docker."""
    swap = limits.memory_swap
    if limits.memory and swap == 0:
        swap = limits.memory * 2
    swappiness = limits.memory_swappiness
    result = Memory(
        limit=limits.memory or None,
        reservation=limits.memory_reservation or None,
        swap=swap or None,
        swappiness=None if swappiness in (None, -1) else swappiness,
        disable_oom_killer=True if limits.oom_kill_disable else None,
    )
    return None if result == _NO_MEMORY else result


def cpu(limits: Limits) -> CPU | None:
    quota, period = limits.cpu_quota, limits.cpu_period
    if limits.nano_cpus:
        period = CPU_PERIOD
        quota = limits.nano_cpus * CPU_PERIOD // 1_000_000_000
    result = CPU(
        shares=limits.cpu_shares or None,
        quota=quota or None,
        period=period or None,
        realtime_period=limits.cpu_realtime_period or None,
        realtime_runtime=limits.cpu_realtime_runtime or None,
        cpus=limits.cpuset_cpus or None,
        mems=limits.cpuset_mems or None,
    )
    return None if result == _NO_CPU else result


def block_io(limits: Limits) -> BlockIO | None:
    result = BlockIO(
        weight=limits.blkio_weight or None,
        weight_device=tuple(
            WeightDevice(major=major, minor=minor, weight=item.weight)
            for item in limits.blkio_weight_device
            for major, minor in (block_device(item.path),)
        ),
        throttle_read_bps_device=_throttles(limits.blkio_device_read_bps),
        throttle_write_bps_device=_throttles(limits.blkio_device_write_bps),
        throttle_read_iops_device=_throttles(limits.blkio_device_read_iops),
        throttle_write_iops_device=_throttles(limits.blkio_device_write_iops),
    )
    return None if result == _NO_BLOCK_IO else result


def rlimits(limits: Limits) -> tuple[Rlimit, ...]:
    """--ulimit; -1 is "unlimited" (RLIM_INFINITY)."""
    infinity = (1 << 64) - 1
    return tuple(
        Rlimit(
            type="RLIMIT_" + item.name.upper(),
            soft=infinity if item.soft < 0 else item.soft,
            hard=infinity if item.hard < 0 else item.hard,
        )
        for item in limits.ulimits
    )


def block_device(path: str) -> tuple[int, int]:
    """The numbers of the block device at `path`."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"cannot find the block device {path}: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(f"{path} is not a block device")
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def _throttles(items: Sequence[Throttle]) -> tuple[ThrottleDevice, ...]:
    result = []
    for item in items:
        major, minor = block_device(item.path)
        result.append(ThrottleDevice(major=major, minor=minor, rate=item.rate))
    return tuple(result)


_NO_MEMORY, _NO_CPU, _NO_BLOCK_IO = Memory(), CPU(), BlockIO()
