from pathlib import Path

import pytest

from corten.errors import InvalidArgument, Unsupported
from corten.oci.runtime_spec import CPU, BlockIO, Memory, Resources, ThrottleDevice
from corten.runtime.cgroup import apply, backing
from corten.runtime.cgroup.compile import compile_cgroup
from corten.runtime.cgroup.cpu import shares_of_weight, weight_of_shares
from corten.runtime.cgroup.layout import Hierarchy, Layout, detect

V1_TOGETHER = """\
31 23 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
OWN_V1 = "4:memory:/user.slice\n3:cpu,cpuacct:/\n1:name=systemd:/user.slice/session-1.scope\n"


def test_controllers_mounted_together_are_one_hierarchy():
    layout = detect(mountinfo=V1_TOGETHER, cgroup=OWN_V1)
    assert layout.kind == "v1"
    together = layout.of("cpuacct")
    assert together is layout.of("cpu") and together is not None
    assert together.mountpoint == "/sys/fs/cgroup/cpu,cpuacct"
    assert layout.of("pids") is None


def test_only_v2_is_v2_and_beside_v1_it_is_hybrid(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    line = f"41 31 0:38 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    pure = detect(mountinfo=line, cgroup="0::/system.slice/a.service\n")
    assert (pure.kind, pure.of("memory").v2) == ("v2", True)
    both = detect(mountinfo=V1_TOGETHER + line, cgroup=OWN_V1 + "0::/\n")
    assert both.kind == "hybrid"
    assert not both.of("memory").v2


def test_no_cgroups_at_all():
    with pytest.raises(Unsupported, match="no cgroup file system"):
        detect(mountinfo="1 1 8:1 / / rw - ext4 /dev/sda1 rw\n", cgroup="0::/\n")


def test_paths_in_a_container_begin_at_what_is_mounted():
    inside = Hierarchy(mountpoint="/m", root="/docker/a", controllers=("memory",), own="/docker/a")
    assert inside.directory("/docker/a/b") == "/m/b"
    assert inside.directory("b") == "/m/b"
    assert inside.own_directory() == "/m"
    outside = Hierarchy(mountpoint="/m", root="/", controllers=("memory",), own="/user")
    assert outside.directory("x") == "/m/user/x"
    unified = Hierarchy(mountpoint="/u", root="/", controllers=(), own="/user/session", v2=True)
    assert unified.directory("x") == "/u/user/x"


@pytest.mark.parametrize("name", ["/", "", "/../x", "a/../../b"])
def test_a_path_that_is_no_cgroup_below_is_refused(name):
    with pytest.raises(InvalidArgument):
        Hierarchy(mountpoint="/m", root="/", controllers=(), own="/").directory(name)


def test_shares_and_weight_meet_at_their_defaults():
    assert [weight_of_shares(shares) for shares in (2, 1024, 262144, 0, 10**9)] == [1, 100, 10000, 1, 10000]
    assert shares_of_weight(100) == 1024


@pytest.mark.parametrize(
    ("check", "expected", "actual", "holds"),
    [
        (apply.PAGES, "5000000", "4997120", True),
        (apply.PAGES, "5000000", "5000000", True),
        (apply.PAGES, "5000000", "4993024", False),
        (apply.PAGES, "-1", "9223372036854771712", True),
        (apply.PAGES, "67108864", "max", False),
        (apply.FIELDS, "254:0 rbps=1024", "254:0 rbps=1024 wbps=max riops=max wiops=max\n", True),
        (apply.FIELDS, "254:0 rbps=1024", "8:0 rbps=1024\n254:0 rbps=1\n", False),
        (apply.CPULIST, "0-2,4", "0,1,2,4", True),
        (apply.CPULIST, "0-2", "0-1", False),
        (apply.ABSENT, "8:0", "254:0 1024\n", True),
        (apply.ABSENT, "254:0", "254:0 1024\n", False),
        (apply.DEVICES, "c 1:3 rwm;c *:* m", "c *:* m\nc 1:3 rwm\n", True),
        (apply.DEVICES, "c 1:3 rwm", "c 1:3 rw\n", False),
        (apply.DEVICES, "c 1:3 rwm", "a *:* rwm\nc 1:3 rwm\n", False),
        (apply.EQUAL, "20", "20\n", True),
        (apply.EQUAL, "20", "max\n", False),
    ],
)
def test_what_counts_as_taken(check, expected, actual, holds):
    assert apply.holds(check, expected, actual) == holds


V2 = Layout(
    kind="v2",
    hierarchies=(
        Hierarchy(mountpoint="/c", root="/", controllers=("cpu", "io", "memory", "pids"), own="/", v2=True),
    ),
)


def writes(resources):
    plan = compile_cgroup("/x", resources, layout=V2)
    return {write[0].removeprefix("/c/x/"): write[1] for item in plan[apply.WRITES] for write in item}


def test_v2_counts_swap_alone():
    assert writes(Resources(memory=Memory(limit=100 << 20, swap=300 << 20)))["memory.swap.max"] == (
        str(200 << 20),
    )
    assert writes(Resources(memory=Memory(limit=-1)))["memory.swap.max"] == ("max",)


def test_v2_has_one_line_for_all_throttles_of_a_device():
    device = ThrottleDevice(major=999, minor=1, rate=1000)
    io = BlockIO(throttle_read_bps_device=(device,), throttle_write_iops_device=(device,))
    assert writes(Resources(block_io=io))["io.max"] == ("999:1 rbps=1000 wiops=1000",)


def test_v2_has_one_file_for_quota_and_period():
    assert writes(Resources(cpu=CPU(quota=5000)))["cpu.max"] == ("5000 100000",)
    assert writes(Resources(cpu=CPU(period=20000)))["cpu.max"] == ("max 20000",)


def fake_sys(tmp_path: Path) -> Path:
    sys = tmp_path / "dev/block"
    sys.mkdir(parents=True)
    disk = tmp_path / "devices/sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "dev").write_text("8:0\n")
    (disk / "sda1/partition").write_text("1\n")
    (disk / "sda1/dev").write_text("8:1\n")
    mapper = tmp_path / "devices/dm-0"
    (mapper / "slaves").mkdir(parents=True)
    (mapper / "slaves/sda1").symlink_to(disk / "sda1")
    for name, target in (("8:0", disk), ("8:1", disk / "sda1"), ("253:0", mapper)):
        (sys / name).symlink_to(target)
    return sys


def test_a_partition_is_its_disk_and_a_mapped_device_has_one_beneath(tmp_path):
    sys = fake_sys(tmp_path)
    assert backing.whole_disk(8, 1, sys=sys) == (8, 0)
    assert backing.whole_disk(8, 0, sys=sys) == (8, 0)
    assert backing.physical_disks(253, 0, sys=sys) == ((8, 0),)
