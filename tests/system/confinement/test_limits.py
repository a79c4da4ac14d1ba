"""Limits hold: what the kernel does to a process that goes over them."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import InvalidArgument, LimitError
from corten.oci.runtime_spec import CPU, BlockIO, Memory, Pids, Resources, ThrottleDevice
from corten.runtime.cgroup import backing
from corten.runtime.devices import DENY_ALL

from .conftest import Group

pytestmark = pytest.mark.root


def fill(size: int) -> int:
    memory = mmap.mmap(-1, size)
    for offset in range(0, size, mmap.PAGESIZE):
        memory[offset] = 1
    return 0


def opens(path: str, flags: int) -> int:
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        return error.errno or 255
    return 0


def test_memory_beyond_the_limit_is_an_oom_kill_and_counted(group: Group) -> None:
    cgroup = group.make(Resources(memory=Memory(limit=24 << 20, swap=24 << 20)))
    assert group.wait(group.spawn(lambda: fill(4 << 20))) == 0
    assert cgroup.oom_count() == 0
    assert group.wait(group.spawn(lambda: fill(64 << 20))) == -signal.SIGKILL
    assert cgroup.oom_count() >= 1
    stats = cgroup.stats().memory
    assert (stats.limit, stats.oom_kills >= 1) == (24 << 20, True)


def test_no_more_processes_than_allowed(group: Group) -> None:
    cgroup = group.make(Resources(pids=Pids(limit=3)))

    def forks() -> int:
        made = []
        try:
            for _ in range(5):
                pid = os.fork()
                if pid == 0:
                    time.sleep(30)
                    os._exit(0)
                made.append(pid)
        except OSError as error:
            assert error.errno == errno.EAGAIN
        for pid in made:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return len(made)

    assert group.wait(group.spawn(forks)) == 2
    assert cgroup.stats().pids.limit == 3


def test_cpu_quota_throttles(group: Group) -> None:
    cgroup = group.make(Resources(cpu=CPU(quota=10_000, period=100_000)))

    def burn() -> int:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        return 0

    assert group.wait(group.spawn(burn)) == 0
    stats = cgroup.stats().cpu
    assert stats.throttled_periods >= 2
    assert 0 < stats.total < 300_000_000


def test_cpu_set(group: Group) -> None:
    group.make(Resources(cpu=CPU(cpus="0")))
    assert group.wait(group.spawn(lambda: 0 if os.sched_getaffinity(0) == {0} else 1)) == 0


def test_devices_that_are_not_allowed_cannot_be_opened(group: Group) -> None:
    group.make(Resources(devices=(DENY_ALL,)))
    for path in ("/dev/null", "/dev/zero", "/dev/urandom"):
        assert group.wait(group.spawn(lambda path=path: opens(path, os.O_RDWR))) == 0  # type: ignore[misc]
    assert group.wait(group.spawn(lambda: opens("/dev/kmsg", os.O_RDONLY))) == errno.EPERM


@pytest.fixture
def disk_directory() -> Iterator[Path]:
    """/var/tmp: pytest's own directories may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def test_disk_writes_are_slowed_on_the_device_behind_the_path(group: Group, disk_directory: Path) -> None:
    try:
        major, minor = backing.disk_of_path(str(disk_directory))
    except InvalidArgument:
        pytest.skip(f"{disk_directory} is on no disk")
    device = ThrottleDevice(major=major, minor=minor, rate=1 << 20)
    group.make(Resources(block_io=BlockIO(throttle_write_bps_device=(device,))))
    target = str(disk_directory / "data")

    def write() -> int:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        buffer = mmap.mmap(-1, 1 << 18)
        begin = time.monotonic()
        for _ in range(6):
            os.write(descriptor, buffer)
        return 0 if time.monotonic() - begin > 0.8 else 1

    assert group.wait(group.spawn(write)) == 0


def test_update_is_read_back_and_undone_when_a_part_fails(group: Group) -> None:
    cgroup = group.make(Resources(memory=Memory(limit=32 << 20), pids=Pids(limit=10)))
    cgroup.update(Resources(memory=Memory(limit=64 << 20, swap=128 << 20), pids=Pids(limit=7)))
    assert (cgroup.stats().memory.limit, cgroup.stats().pids.limit) == (64 << 20, 7)
    nowhere = BlockIO(throttle_read_bps_device=(ThrottleDevice(major=999, minor=9, rate=1),))
    with pytest.raises(LimitError, match="999:9"):
        cgroup.update(Resources(memory=Memory(limit=96 << 20), pids=Pids(limit=5), block_io=nowhere))
    assert (cgroup.stats().memory.limit, cgroup.stats().pids.limit) == (64 << 20, 7)
    cgroup.update(Resources(pids=Pids(limit=-1)))
    assert cgroup.stats().pids.limit is None


def test_update_reaches_a_controller_that_was_not_used_before(group: Group) -> None:
    cgroup = group.make()
    read, write = os.pipe()
    entered, enters = os.pipe()

    def waits() -> int:
        os.write(enters, b"x")
        os.read(read, 1)
        return 0 if os.sched_getaffinity(0) == {0} else 1

    pid = group.spawn(waits)
    os.read(entered, 1)
    cgroup.update(Resources(cpu=CPU(cpus="0")))
    os.write(write, b"x")
    assert group.wait(pid) == 0
    cgroup.delete()


def test_memory_in_use_is_not_limited_away(group: Group) -> None:
    cgroup = group.make()
    ready, tell = os.pipe()

    def holds() -> int:
        memory = mmap.mmap(-1, 32 << 20)
        for offset in range(0, len(memory), mmap.PAGESIZE):
            memory[offset] = 1
        os.write(tell, b"x")
        time.sleep(60)
        return 0

    group.spawn(holds)
    os.read(ready, 1)
    with pytest.raises(LimitError, match="uses"):
        cgroup.update(Resources(memory=Memory(limit=8 << 20, check_before_update=True)))
    assert cgroup.stats().memory.usage > 32 << 20
    assert cgroup.stats().memory.limit is None
