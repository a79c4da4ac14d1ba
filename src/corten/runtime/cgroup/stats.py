"""What a cgroup has used: read from v1's or v2's files into one set of types. Times in ns, sizes in bytes."""

from __future__ import annotations

from corten.oci.struct import Struct
from corten.runtime.cgroup.layout import Hierarchy

_UNLIMITED = 1 << 62


class CpuStats(Struct, frozen=True):
    """`percpu` is empty on v2, which does not count by CPU."""

    total: int = 0
    user: int = 0
    system: int = 0
    percpu: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class MemoryStats(Struct, frozen=True):
    """`limit` and `swap_limit` are None without one (`swap_limit` counts as `swap` does).

    `swap` is memory and swap together on v1, swap alone on v2. `cache` is page cache, `inactive_file` the
    part of it that `docker stats` leaves out. `stats` is memory.stat whole.
    """

    usage: int = 0
    peak: int = 0
    limit: int | None = None
    failures: int = 0
    swap: int = 0
    swap_limit: int | None = None
    cache: int = 0
    inactive_file: int = 0
    oom_kills: int = 0
    stats: dict[str, int] = {}


class PidsStats(Struct, frozen=True):
    current: int = 0
    limit: int | None = None


class IoStats(Struct, frozen=True):
    """One device; operations are counts."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    discard_bytes: int = 0
    reads: int = 0
    writes: int = 0
    discards: int = 0


class Stats(Struct, frozen=True):
    cpu: CpuStats = CpuStats()
    memory: MemoryStats = MemoryStats()
    pids: PidsStats = PidsStats()
    io: tuple[IoStats, ...] = ()


def read_stats(directories: dict[str, tuple[Hierarchy, str]]) -> Stats:
    """The statistics of a cgroup; `directories` is by controller. What a host does not count stays zero."""
    cpu, memory, pids, io = CpuStats(), MemoryStats(), PidsStats(), ()
    if found := directories.get("cpuacct") or directories.get("cpu"):
        cpu = _cpu_v2(found[1]) if found[0].v2 else _cpu_v1(found[1], directories.get("cpu", found)[1])
    elif unified := next((place for place in directories.values() if place[0].v2), None):
        cpu = _cpu_v2(unified[1])
    if found := directories.get("memory"):
        memory = (_memory_v2 if found[0].v2 else _memory_v1)(found[1])
    if found := directories.get("pids"):
        pids = PidsStats(number(found[1], "pids.current"), maximum(found[1], "pids.max"))
    blocks: tuple[IoStats, ...] = io
    if found := directories.get("io"):
        blocks = _io_v2(found[1])
    elif found := directories.get("blkio"):
        blocks = _io_v1(found[1])
    return Stats(cpu=cpu, memory=memory, pids=pids, io=blocks)


def text(directory: str, file: str) -> str:
    """The file's text, "" where there is none."""
    try:
        with open(f"{directory}/{file}", encoding="ascii") as opened:  # noqa: PTH123
            return opened.read()
    except OSError:
        return ""


def number(directory: str, file: str) -> int:
    content = text(directory, file).strip()
    return int(content) if content.isdigit() else 0


def maximum(directory: str, file: str) -> int | None:
    """A limit: None for "max", v1's huge number, or a file that is not there."""
    content = text(directory, file).strip()
    if not content.isdigit() or int(content) >= _UNLIMITED:
        return None
    return int(content)


def table(directory: str, file: str) -> dict[str, int]:
    """`name value` lines."""
    rows = (line.rsplit(" ", 1) for line in text(directory, file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].lstrip("-").isdigit()}


def _cpu_v1(accounts: str, limits: str) -> CpuStats:
    user, system = number(accounts, "cpuacct.usage_user"), number(accounts, "cpuacct.usage_sys")
    percpu = tuple(int(word) for word in text(accounts, "cpuacct.usage_percpu").split())
    throttled = table(limits, "cpu.stat")
    return CpuStats(
        total=number(accounts, "cpuacct.usage"),
        user=user,
        system=system,
        percpu=percpu,
        periods=throttled.get("nr_periods", 0),
        throttled_periods=throttled.get("nr_throttled", 0),
        throttled_time=throttled.get("throttled_time", 0),
    )


def _cpu_v2(directory: str) -> CpuStats:
    rows = table(directory, "cpu.stat")
    return CpuStats(
        total=rows.get("usage_usec", 0) * 1000,
        user=rows.get("user_usec", 0) * 1000,
        system=rows.get("system_usec", 0) * 1000,
        periods=rows.get("nr_periods", 0),
        throttled_periods=rows.get("nr_throttled", 0),
        throttled_time=rows.get("throttled_usec", 0) * 1000,
    )


def _memory_v1(directory: str) -> MemoryStats:
    rows = table(directory, "memory.stat")
    return MemoryStats(
        usage=number(directory, "memory.usage_in_bytes"),
        peak=number(directory, "memory.max_usage_in_bytes"),
        limit=maximum(directory, "memory.limit_in_bytes"),
        failures=number(directory, "memory.failcnt"),
        swap=number(directory, "memory.memsw.usage_in_bytes"),
        swap_limit=maximum(directory, "memory.memsw.limit_in_bytes"),
        cache=rows.get("total_cache", rows.get("cache", 0)),
        inactive_file=rows.get("total_inactive_file", rows.get("inactive_file", 0)),
        oom_kills=table(directory, "memory.oom_control").get("oom_kill", 0),
        stats=rows,
    )


def _memory_v2(directory: str) -> MemoryStats:
    rows, events = table(directory, "memory.stat"), table(directory, "memory.events")
    return MemoryStats(
        usage=number(directory, "memory.current"),
        peak=number(directory, "memory.peak"),
        limit=maximum(directory, "memory.max"),
        failures=events.get("max", 0),
        swap=number(directory, "memory.swap.current"),
        swap_limit=maximum(directory, "memory.swap.max"),
        cache=rows.get("file", 0),
        inactive_file=rows.get("inactive_file", 0),
        oom_kills=events.get("oom_kill", 0),
        stats=rows,
    )


_V1_OPERATIONS = {
    "Read": ("read_bytes", "reads"),
    "Write": ("write_bytes", "writes"),
    "Discard": ("discard_bytes", "discards"),
}
_V2_FIELDS = {
    "rbytes": "read_bytes",
    "wbytes": "write_bytes",
    "dbytes": "discard_bytes",
    "rios": "reads",
    "wios": "writes",
    "dios": "discards",
}


def _io_v1(directory: str) -> tuple[IoStats, ...]:
    found: dict[str, dict[str, int]] = {}
    for place, file in enumerate(("io_service_bytes", "io_serviced")):
        content = text(directory, f"blkio.throttle.{file}_recursive")
        content = content or text(directory, f"blkio.throttle.{file}")
        for line in content.splitlines():
            words = line.split()  # "254:0 Read 4096", and a last line "Total 4096"
            if len(words) == 3 and words[1] in _V1_OPERATIONS:
                found.setdefault(words[0], {})[_V1_OPERATIONS[words[1]][place]] = int(words[2])
    return _devices(found)


def _io_v2(directory: str) -> tuple[IoStats, ...]:
    found: dict[str, dict[str, int]] = {}
    for line in text(directory, "io.stat").splitlines():
        device, *pairs = line.split()
        values = (pair.partition("=") for pair in pairs)
        found[device] = {_V2_FIELDS[key]: int(value) for key, _, value in values if key in _V2_FIELDS}
    return _devices(found)


def _devices(found: dict[str, dict[str, int]]) -> tuple[IoStats, ...]:
    devices = []
    for name, values in found.items():
        major, _, minor = name.partition(":")
        if minor.isdigit() and any(values.values()):
            devices.append(IoStats(int(major), int(minor), **values))
    return tuple(devices)
