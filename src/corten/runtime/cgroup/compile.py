"""Resources of the OCI specification to a `CgroupPlan` (`apply` has its shape). Engine side.

https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#control-groups
"""

from __future__ import annotations

import os

from corten.errors import InvalidArgument
from corten.linux import bpf
from corten.oci.runtime_spec import Hugepage, NetworkResources, Rdma, Resources
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.blockio import block_io_writes
from corten.runtime.cgroup.cpu import cpu_writes
from corten.runtime.cgroup.device_rules import reduce_rules, write_v1
from corten.runtime.cgroup.layout import Hierarchy, Layout
from corten.runtime.cgroup.memory import memory_writes
from corten.runtime.cgroup.writes import Writes
from corten.runtime.devices import DEFAULT_RULES

# Controllers that every container gets a directory of its own for, asked or not: they isolate (devices,
# freezer) or account (`stats`, OOM kills). Making, entering and removing one costs 0.10 to 0.15 ms. The
# others only where a limit asks: cpuset costs 0.4 ms alone (its files rebuild scheduling domains), and a
# process in its parent's cpuset, named or empty hierarchy loses nothing. An update that needs one later makes
# it then.
ACCOUNTED = ("cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "io", "pids")
_NO_RESOURCES = Resources()


def compile_cgroup(
    name_or_path: str, resources: Resources | None, *, layout: Layout, best_effort: bool = False
) -> apply.CgroupPlan:
    """The plan of cgroup `name_or_path` (absolute: from the root of every hierarchy) with `resources`.

    A limit whose controller this host lacks is a LimitError; with `best_effort` (rootless) it is a
    sentence in the plan's warnings. Contradictory values are InvalidArgument.
    """
    resources = resources or _NO_RESOURCES
    usable = _usable(layout, name_or_path) if best_effort else layout
    writes = Writes(usable, name_or_path, best_effort=best_effort)
    limit_writes(writes, resources)
    program = device_writes(writes, resources)
    chosen = [h for h in writes.layout.hierarchies if h.mountpoint in writes.used or _wanted(h)]
    unified = next((h for h in chosen if h.v2), None)
    wanted: tuple[str, ...] = ()
    if unified is not None:
        accounted = tuple(name for name in ACCOUNTED if name in unified.controllers)
        wanted = tuple(dict.fromkeys((*accounted, *writes.v2_controllers)))
    return (
        tuple(h.directory(name_or_path) for h in chosen),
        tuple(writes.items),
        tuple(h.directory(name_or_path) + "/tasks" for h in chosen if not h.v2),
        unified.directory(name_or_path) if unified is not None else "",
        program,
        wanted,
        tuple(h.mountpoint for h in chosen),
        _oom_file(chosen, name_or_path),
        next(
            (h.directory(name_or_path) + "/freezer.state" for h in chosen if "freezer" in h.controllers), ""
        ),
        tuple(writes.warnings),
    )


def usual_directories(name_or_path: str, layout: Layout) -> tuple[tuple[str, str], ...]:
    """The directories that `compile_cgroup` names where no limit asks for more: (name of the hierarchy,
    directory). Where there is one hierarchy for all, it has no name.
    """
    wanted = [hierarchy for hierarchy in layout.hierarchies if _wanted(hierarchy)]
    unified_only = len(wanted) == 1 and wanted[0].v2
    return tuple(
        ("" if unified_only else os.path.basename(hierarchy.mountpoint), hierarchy.directory(name_or_path))
        for hierarchy in wanted
    )


def limit_writes(writes: Writes, resources: Resources) -> None:
    """Add what `resources` asks for, all but devices, in the order in which it must be written."""
    if resources.memory is not None:
        memory_writes(writes, resources.memory)
    if resources.cpu is not None:
        cpu_writes(writes, resources.cpu)
    if resources.pids is not None and resources.pids.limit:
        limit = resources.pids.limit
        found = writes.hierarchy("pids", "the limit on processes")
        if found is not None:
            writes.write(found, "pids.max", limit if limit > 0 else "max")
    if resources.block_io is not None:
        block_io_writes(writes, resources.block_io)
    for page in resources.hugepage_limits or ():
        _hugetlb(writes, page)
    for device, rdma in (resources.rdma or {}).items():
        _rdma(writes, device, rdma)
    if resources.network is not None:
        _network(writes, resources.network)
    for file, value in (resources.unified or {}).items():
        _unified(writes, file, value)


def _wanted(hierarchy: Hierarchy) -> bool:
    """Is a directory of our own needed without a limit? Also where something manages the hierarchy.

    There (systemd's own, above all) a process left in the caller's cgroup would be killed with the caller.
    """
    accounted = any(name in ACCOUNTED for name in hierarchy.controllers)
    return accounted or (hierarchy.own != "/" and "cpuset" not in hierarchy.controllers)


def _usable(layout: Layout, name: str) -> Layout:
    """The hierarchies in which the caller may make directories (rootless: those delegated to it)."""

    def writable(hierarchy: Hierarchy) -> bool:
        path = hierarchy.directory(name)
        while not os.access(path, os.F_OK) and len(path) > len(hierarchy.mountpoint):
            path = path.rpartition("/")[0]
        return os.access(path, os.W_OK) and os.access(path + "/cgroup.procs", os.W_OK)

    return Layout(kind=layout.kind, hierarchies=tuple(h for h in layout.hierarchies if writable(h)))


def _oom_file(chosen: list[Hierarchy], name: str) -> str:
    for hierarchy in chosen:
        if "memory" in hierarchy.controllers:
            return hierarchy.directory(name) + ("/memory.events" if hierarchy.v2 else "/memory.oom_control")
    return ""


def device_writes(writes: Writes, resources: Resources) -> bytes:
    """Device rules; the specification's default devices are always allowed. Returns v2's program."""
    if not resources.devices:
        return b""
    policy = reduce_rules((*resources.devices, *DEFAULT_RULES))
    found = writes.layout.of("devices")
    if found is not None:
        writes.used[found.mountpoint] = found
        write_v1(writes, found, policy)
        return b""
    unified = writes.layout.unified
    if unified is None or os.geteuid() != 0:
        if not policy.allow:
            writes.missing("device rules cannot be kept: no device controller can be used here")
        return b""
    writes.used[unified.mountpoint] = unified
    return bpf.device_program(policy.allow, policy.exceptions)


def _hugetlb(writes: Writes, page: Hugepage) -> None:
    found = writes.hierarchy("hugetlb", f"the limit on {page.page_size} pages")
    if found is None:
        return
    size, unit = page.page_size[:-2], page.page_size[-2:]
    units = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
    if not size.isdigit() or unit not in units:
        raise InvalidArgument(f"not a size of huge pages: {page.page_size!r} (as in 2MB)")
    whole = page.limit - page.limit % (int(size) * units[unit])
    file = f"hugetlb.{page.page_size}." + ("max" if found.v2 else "limit_in_bytes")
    writes.write(found, file, page.limit, apply.PAGES, whole)


def _rdma(writes: Writes, device: str, rdma: Rdma) -> None:
    found = writes.hierarchy("rdma", f"the RDMA limit on {device}")
    if found is not None:
        text = device
        if rdma.hca_handles is not None:
            text += f" hca_handle={rdma.hca_handles}"
        if rdma.hca_objects is not None:
            text += f" hca_object={rdma.hca_objects}"
        writes.write(found, "rdma.max", text, apply.FIELDS)


def _network(writes: Writes, network: NetworkResources) -> None:
    if network.class_id:
        found = writes.hierarchy("net_cls", "the network class")
        if found is not None:
            writes.write(found, "net_cls.classid", network.class_id)
    for priority in network.priorities or ():
        found = writes.hierarchy("net_prio", "the network priority")
        if found is not None:
            text = f"{priority.name} {priority.priority}"
            writes.write(found, "net_prio.ifpriomap", text, apply.FIELDS)


def _unified(writes: Writes, file: str, value: str) -> None:
    if "/" in file or "." not in file or "\0" in value:
        raise InvalidArgument(f"not the name of a cgroup v2 file: {file!r}")
    controller = file.partition(".")[0]
    unified = writes.layout.unified
    if unified is None or (controller != "cgroup" and controller not in unified.controllers):
        writes.missing(f"{file} cannot be set: this host has no {controller!r} controller on cgroup v2")
        return
    writes.used[unified.mountpoint] = unified
    if controller != "cgroup" and controller not in writes.v2_controllers:
        writes.v2_controllers.append(controller)
    for line in value.splitlines():
        check, expected = _unified_check(file, line.strip())
        writes.write(unified, file, line.strip(), check, expected)


def _unified_check(file: str, value: str) -> tuple[str, str]:
    if file.endswith(".pressure"):
        return apply.UNCHECKED, value
    if file in ("cpuset.cpus", "cpuset.mems"):
        return apply.CPULIST, value
    if file.startswith(("memory.", "hugetlb.")):
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(value[-1:].upper(), 1)
        digits = value[:-1] if factor > 1 else value
        if digits.isdigit():
            return apply.PAGES, str(int(digits) * factor)
    return apply.FIELDS, value
