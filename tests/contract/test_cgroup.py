"""One suite for every cgroup layout: what `compile_cgroup` and `apply` promise, on v1, hybrid and v2.

Over directories that behave like the cgroup file system as far as files go (no kernel, no root), and over the
kernel itself, in whatever layout it has: as root here, and again in a virtual machine with pure v2.
"""

from __future__ import annotations

import marshal
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from corten.errors import Conflict, InvalidArgument, LimitError, NotFound
from corten.oci.runtime_spec import CPU, BlockIO, Hugepage, Memory, Pids, Resources, ThrottleDevice
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.compile import compile_cgroup
from corten.runtime.cgroup.control import Cgroup
from corten.runtime.cgroup.layout import Hierarchy, Layout, detect

FILES = {
    "cpu": "cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.stat",
    "cpuacct": "cpuacct.usage",
    "cpuset": "cpuset.cpus cpuset.mems cpuset.memory_migrate",
    "memory": "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.oom_control",
    "devices": "devices.allow devices.deny devices.list",
    "freezer": "freezer.state",
    "blkio": "blkio.throttle.read_bps_device blkio.bfq.weight",
    "pids": "pids.max pids.current",
    "hugetlb": "hugetlb.2MB.limit_in_bytes",
}
FILES_V2 = {
    "cpu": "cpu.weight cpu.max",
    "memory": "memory.max memory.swap.max memory.low memory.events",
    "pids": "pids.max",
    "io": "io.max io.weight",
    "": "cgroup.controllers cgroup.subtree_control cgroup.kill cgroup.freeze cgroup.events",
}
V1 = ("cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "pids")
V2 = ("cpu", "io", "memory", "pids")


class FileTree:
    """Directories whose mkdir fills in the controllers' files, and whose rmdir takes them away."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.files: dict[str, list[str]] = {}
        self.mkdir, self.rmdir = os.mkdir, os.rmdir

    def hierarchy(self, name: str, controllers: tuple[str, ...], v2: bool = False) -> Hierarchy:
        tables = FILES_V2 if v2 else FILES
        wanted = " ".join(tables[name] for name in (*controllers, *([""] if v2 else [])))
        base = f"{self.root}/{name}"
        self.files[base] = ["cgroup.procs", *wanted.split(), *([] if v2 else ["tasks"])]
        self.make(base)
        return Hierarchy(mountpoint=base, root="/", controllers=controllers, own="/", v2=v2)

    def make(self, path: str, mode: int = 0o777, **_: object) -> None:
        self.mkdir(path, mode)
        for base, names in self.files.items():
            if path.startswith(base + "/") or path == base:
                for name in names:
                    text = " ".join(V2) if name == "cgroup.controllers" else ""
                    Path(path, name).write_text(text)

    def remove(self, path: str, **_: object) -> None:
        if os.path.isdir(path) and path.startswith(self.root):
            for entry in list(os.scandir(path)):
                if entry.is_file():
                    os.unlink(entry.path)
        self.rmdir(path)


def layouts(tree: FileTree, kind: str) -> Layout:
    if kind == "v2":
        return Layout(kind="v2", hierarchies=(tree.hierarchy("unified", V2, v2=True),))
    found = tuple(tree.hierarchy(name, (name,)) for name in V1)
    if kind == "hybrid":
        found = (*found, tree.hierarchy("unified", (), v2=True))
    return Layout(kind=kind, hierarchies=found)


@pytest.fixture(params=["v1", "hybrid", "v2", pytest.param("kernel", marks=pytest.mark.root)])
def layout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    if request.param == "kernel":
        return detect()
    tree = FileTree(tmp_path)
    found = layouts(tree, request.param)
    monkeypatch.setattr(apply.os, "mkdir", tree.make)
    monkeypatch.setattr(apply.os, "rmdir", tree.remove)
    return found


@pytest.fixture
def name(layout: Layout) -> Iterator[str]:
    parent = f"/corten-test-{uuid.uuid4().hex[:12]}"
    yield parent + "/one"
    for hierarchy in layout.hierarchies:
        apply.remove_directory(hierarchy.directory(parent))


Reader = Callable[[str, str, str], str]


@pytest.fixture
def read(layout: Layout, name: str) -> Reader:
    def reader(controller: str, v1: str, v2: str) -> str:
        hierarchy = layout.of(controller)
        assert hierarchy is not None
        return Path(hierarchy.directory(name), v2 if hierarchy.v2 else v1).read_text().strip()

    return reader


LIMITS = Resources(
    memory=Memory(limit=64 << 20), cpu=CPU(quota=50_000, period=100_000, shares=512), pids=Pids(limit=20)
)


def left(layout: Layout, name: str) -> list[str]:
    paths = [hierarchy.directory(name) for hierarchy in layout.hierarchies]
    return [path for path in paths if os.path.exists(path)]


def test_limits_are_written_where_the_layout_has_them(layout: Layout, name: str, read: Reader) -> None:
    plan = compile_cgroup(name, LIMITS, layout=layout)
    assert marshal.loads(marshal.dumps(plan)) == plan
    apply.create(plan)
    assert read("memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert read("pids", "pids.max", "pids.max") == "20"
    assert read("cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert read("cpu", "cpu.shares", "cpu.weight") in ("512", "59")
    apply.remove(plan)
    assert left(layout, name) == []
    apply.remove(plan)  # once more is no error


def test_without_limits_there_is_still_a_cgroup_to_account(layout: Layout, name: str) -> None:
    plan = compile_cgroup(name, None, layout=layout)
    apply.create(plan)
    for controller in ("memory", "pids", "cpu"):
        hierarchy = layout.of(controller)
        assert hierarchy is not None and os.path.isdir(hierarchy.directory(name))
    entry = apply.open_entry(plan)
    assert (entry[1] >= 0) == bool(plan[apply.UNIFIED])
    apply.close_entry(entry)
    apply.remove(plan)


def test_a_limit_without_controller_is_an_error_or_a_warning(layout: Layout, name: str) -> None:
    without = (
        msgspec.structs.replace(h, controllers=tuple(c for c in h.controllers if c != "pids"))
        for h in layout.hierarchies
    )
    bare = Layout(kind=layout.kind, hierarchies=tuple(without))
    with pytest.raises(LimitError, match="pids"):
        compile_cgroup(name, LIMITS, layout=bare)
    plan = compile_cgroup(name, LIMITS, layout=bare, best_effort=True)
    assert any("pids" in warning for warning in plan[apply.WARNINGS])


def test_a_limit_that_does_not_take_names_file_and_values_and_leaves_nothing(
    layout: Layout, name: str
) -> None:
    plan = list(compile_cgroup(name, LIMITS, layout=layout))
    first = plan[apply.WRITES][0][0]  # the memory limit, as if the kernel had kept another one
    plan[apply.WRITES] = (*plan[apply.WRITES], ((first[0], first[1], apply.PAGES, str(32 << 20)),))
    with pytest.raises(LimitError) as failure:
        apply.create(tuple(plan))
    for part in (first[0], str(32 << 20), str(64 << 20)):
        assert part in failure.value.message
    assert left(layout, name) == []
    assert left(layout, name.rpartition("/")[0]) == []


def test_a_file_that_is_not_there_is_an_error_and_leaves_nothing(layout: Layout, name: str) -> None:
    plan = list(compile_cgroup(name, LIMITS, layout=layout))
    path = plan[apply.DIRECTORIES][0] + "/no.such.limit"
    plan[apply.WRITES] = (((path, ("1",), apply.EQUAL, "1"),),)
    with pytest.raises(LimitError, match=r"no\.such\.limit"):
        apply.create(tuple(plan))
    assert left(layout, name) == []


def test_what_a_crash_left_is_made_anew(layout: Layout, name: str, read: Reader) -> None:
    apply.create(compile_cgroup(name, LIMITS, layout=layout))
    plan = compile_cgroup(name, None, layout=layout)
    apply.create(plan)
    assert read("pids", "pids.max", "pids.max") != "20"
    apply.remove(plan)


def test_nested_cgroups_go_first(layout: Layout, name: str) -> None:
    plan = compile_cgroup(name, None, layout=layout)
    apply.create(plan)
    for directory in plan[apply.DIRECTORIES]:
        os.makedirs(directory + "/inner/most")
    apply.remove(plan)
    assert left(layout, name) == []


def test_open_finds_what_exists(layout: Layout, name: str) -> None:
    with pytest.raises(NotFound):
        Cgroup.open(name, layout=layout)
    plan = compile_cgroup(name, None, layout=layout)
    apply.create(plan)
    cgroup = Cgroup.open(name, layout=layout)
    assert set(cgroup.directories) == set(plan[apply.DIRECTORIES])
    assert cgroup.pids() == []
    assert cgroup.oom_count() == 0
    cgroup.delete()
    assert left(layout, name) == []


@pytest.mark.parametrize(
    "resources",
    [
        Resources(memory=Memory(limit=2 << 20, swap=1 << 20)),
        Resources(memory=Memory(swap=1 << 20)),
        Resources(memory=Memory(limit=1 << 20, swappiness=101)),
        Resources(cpu=CPU(quota=1)),
        Resources(cpu=CPU(period=5)),
        Resources(block_io=BlockIO(weight=5)),
        Resources(block_io=BlockIO(throttle_read_bps_device=(ThrottleDevice(major=1, minor=0, rate=-1),))),
    ],
)
def test_contradictions_are_refused_before_anything_is_made(
    layout: Layout, name: str, resources: Resources
) -> None:
    with pytest.raises(InvalidArgument):
        compile_cgroup(name, resources, layout=layout)


def test_unknown_device_is_refused_by_the_kernel(layout: Layout, name: str) -> None:
    if not layout.hierarchies[0].mountpoint.startswith("/sys/"):
        pytest.skip("files take any device")
    device = ThrottleDevice(major=999, minor=9, rate=1 << 20)
    plan = compile_cgroup(
        name, Resources(block_io=BlockIO(throttle_read_bps_device=(device,))), layout=layout
    )
    with pytest.raises(LimitError, match="no such device"):
        apply.create(plan)
    assert left(layout, name) == []


def test_huge_pages_need_their_controller(layout: Layout, name: str) -> None:
    resources = Resources(hugepage_limits=(Hugepage(page_size="2MB", limit=(2 << 20) + 5),))
    if "hugetlb" not in layout.controllers:
        with pytest.raises(LimitError, match="hugetlb"):
            compile_cgroup(name, resources, layout=layout)
        return
    plan = compile_cgroup(name, resources, layout=layout)
    if os.path.isdir("/sys/kernel/mm/hugepages/hugepages-2048kB"):
        apply.create(plan)
        apply.remove(plan)


def test_a_cgroup_in_use_is_not_taken_over(layout: Layout, name: str) -> None:
    if not layout.hierarchies[0].mountpoint.startswith("/sys/"):
        pytest.skip("files hold no processes")
    plan = compile_cgroup(name, None, layout=layout)
    apply.create(plan)
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
        os._exit(0)
    try:
        apply.join(plan, pid)
        assert Cgroup.open(name, layout=layout).pids() == [pid]
        with pytest.raises(Conflict, match="in use"):
            apply.create(plan)
    finally:
        apply.kill(plan) if apply.processes(plan) else os.kill(pid, 9)
        os.waitpid(pid, 0)
        apply.remove(plan)
