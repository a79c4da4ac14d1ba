"""What changing the limits of a living cgroup needs beyond writing them: order, and the way back."""

from __future__ import annotations

import os

from corten.errors import LimitError
from corten.oci.runtime_spec import Resources
from corten.oci.struct import replace
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy
from corten.runtime.cgroup.stats import maximum, number, text

Places = dict[str, tuple[Hierarchy, str]]


def merged_with_current(resources: Resources, places: Places) -> Resources:
    """Quota and period share one file on v2: the one that was not asked for stays as it is."""
    cpu, place = resources.cpu, places.get("cpu")
    if cpu is None or place is None or not place[0].v2 or bool(cpu.quota) == bool(cpu.period):
        return resources
    quota, _, period = text(place[1], "cpu.max").strip().partition(" ")
    if not period.isdigit():
        return resources
    if cpu.quota:
        cpu = replace(cpu, period=int(period))
    else:
        cpu = replace(cpu, quota=-1 if quota == "max" else int(quota))
    return replace(resources, cpu=cpu)


def check_usage(resources: Resources, places: Places) -> None:
    """`checkBeforeUpdate`: refuse a memory limit below what is in use, where the kernel would kill for it."""
    memory, place = resources.memory, places.get("memory")
    if memory is None or place is None or not memory.check_before_update or (memory.limit or 0) <= 0:
        return
    usage = number(place[1], "memory.current" if place[0].v2 else "memory.usage_in_bytes")
    if memory.limit is not None and usage > memory.limit:
        raise LimitError(
            f"cannot set the memory limit of {place[1]} to {memory.limit}: it uses {usage} bytes already"
        )


def ordered(items: list[apply.Alternatives], places: Places) -> list[apply.Alternatives]:
    """v1 refuses a memory limit above that of memory and swap: when it grows past it, swap goes first."""
    place = places.get("memory")
    if place is None or place[0].v2:
        return items
    swap_limit = maximum(place[1], "memory.memsw.limit_in_bytes")
    wanted = next((item for item in items if item[0][0].endswith("/memory.limit_in_bytes")), None)
    if swap_limit is None or wanted is None:
        return items
    value = int(wanted[0][1][0])
    if 0 <= value <= swap_limit:
        return items
    return sorted(items, key=lambda item: not item[0][0].endswith("/memory.memsw.limit_in_bytes"))


def chosen(alternatives: apply.Alternatives) -> apply.Write:
    """The alternative whose file this kernel has."""
    return next((write for write in alternatives if os.path.exists(write[0])), alternatives[0])


def restoring(write: apply.Write) -> tuple[str, ...]:
    """The values that, written to the same file, bring back what it says now."""
    path, values, check, _ = write
    directory, _, file = path.rpartition("/")
    if check == apply.INHERIT:
        return ()
    if check in (apply.UNCHECKED, apply.DEVICES) and file.startswith("devices."):
        return ()
    content = text(directory, file)
    if file == "memory.oom_control":
        return (str(int("oom_kill_disable 1" in content)),)
    if ":" in (values[0].split(" ")[0] if values else ""):
        return (_device_line(file, values[0].split(" ")[0], content),)
    return (content.strip().removeprefix("default "),)


def _device_line(file: str, device: str, content: str) -> str:
    for line in content.splitlines():
        if line.split(" ")[0] == device:
            return line
    if file == "io.max":
        return f"{device} rbps=max wbps=max riops=max wiops=max"
    return f"{device} default" if file.startswith("io.") else f"{device} 0"
