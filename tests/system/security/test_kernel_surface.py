"""What the default filter, capabilities and masks deny, asked of the kernel from inside."""

from __future__ import annotations

import pytest

from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root

_WRITES = (
    "/proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/drop_caches"
    " /sys/kernel/uevent_helper /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/devices.allow"
    " /sys/fs/cgroup/devices/devices.allow /sys/fs/cgroup/memory/memory.limit_in_bytes"
    " /sys/fs/cgroup/memory/release_agent /sys/fs/cgroup/pids/cgroup.procs"
)


async def test_the_kernels_knobs(boat: Boat) -> None:
    ran = await boat.sh(
        f"for f in {_WRITES}; do [ -e $f ] && {{ echo 1 > $f; }} 2>/dev/null && echo $f; done; :"
    )
    assert ran.out == ""


async def test_remounts_and_devices(boat: Boat) -> None:
    ran = await boat.sh(
        "mount -o remount,rw /sys; echo $?; mount -o remount,rw /proc/sys; echo $?; umount /proc/keys;"
        " echo $?; mount --bind / /tmp; echo $?; mount -t proc proc /tmp; echo $?; mknod /d b 7 0 &&"
        " head -c1 /d; echo $?; mknod /k c 1 11 && head -c1 /k; echo $?; mknod /m c 1 1 &&"
        " head -c1 /m; echo $?; chroot /proc/1/root true; nsenter -t 1 -m true; echo $?; unshare -m true;"
        " echo $?; dmesg; echo $?"
    )
    assert "\n0\n" not in "\n" + ran.out, ran
