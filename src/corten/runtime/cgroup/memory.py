"""Memory limits: v1 memory.limit_in_bytes and friends, v2 memory.max, memory.low, memory.swap.max.

https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, .../cgroup-v2.html#memory
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import Memory
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy
from corten.runtime.cgroup.writes import Writes


def memory_writes(writes: Writes, memory: Memory) -> None:
    """The writes for `memory`. `swap` is memory and swap together, -1 without limit, as specified."""
    if memory.kernel:
        writes.warn("the kernel memory limit is ignored: Linux has none of its own since 5.16")
    asked = (memory.limit, memory.reservation, memory.swap, memory.kernel_tcp)
    if not any(asked) and memory.swappiness is None and not memory.disable_oom_killer:
        return
    limit, swap = memory.limit or 0, memory.swap or 0
    if swap > 0 and limit <= 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit")
    if 0 < swap < limit:
        raise InvalidArgument(
            f"Minimum memoryswap limit should be larger than memory limit: {swap} is less than {limit}"
        )
    if memory.swappiness is not None and not -1 <= memory.swappiness <= 100:
        raise InvalidArgument(f"memory swappiness must be between 0 and 100: {memory.swappiness}")
    found = writes.hierarchy("memory", "the memory limit")
    if found is not None:
        (_v2 if found.v2 else _v1)(writes, found, memory)


def _v1(writes: Writes, found: Hierarchy, memory: Memory) -> None:
    if memory.limit:
        writes.write(found, "memory.limit_in_bytes", memory.limit, apply.PAGES)
    if memory.swap:
        writes.write(found, "memory.memsw.limit_in_bytes", memory.swap, apply.PAGES)
    if memory.reservation:
        writes.write(found, "memory.soft_limit_in_bytes", memory.reservation, apply.PAGES)
    if memory.kernel_tcp:
        writes.write(found, "memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp, apply.PAGES)
    if memory.swappiness is not None and memory.swappiness >= 0:
        writes.write(found, "memory.swappiness", memory.swappiness)
    if memory.disable_oom_killer:
        writes.write(found, "memory.oom_control", 1, apply.FIELDS, "oom_kill_disable 1")


def _v2(writes: Writes, found: Hierarchy, memory: Memory) -> None:
    for name, value in (
        ("memory swappiness", memory.swappiness if (memory.swappiness or 0) > 0 else None),
        ("switching the OOM killer off", memory.disable_oom_killer),
        ("a limit of TCP buffers", memory.kernel_tcp),
    ):
        if value:
            writes.warn(f"{name} is ignored: cgroup v2 has no such setting")
    if memory.limit:
        _maximum(writes, found, "memory.max", memory.limit)
    if memory.swap or (memory.limit or 0) < 0:
        # v1 counts memory and swap together, v2 swap alone.
        swap = memory.swap or -1
        _maximum(writes, found, "memory.swap.max", swap if swap < 0 else swap - (memory.limit or 0))
    if memory.reservation:
        _maximum(writes, found, "memory.low", memory.reservation)


def _maximum(writes: Writes, found: Hierarchy, file: str, value: int) -> None:
    if value < 0:
        writes.write(found, file, "max")
    else:
        writes.write(found, file, value, apply.PAGES)
