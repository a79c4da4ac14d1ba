"""What a container uses, computed from two samples of `GET /containers/{id}/stats`, as Docker's client
does."""

from __future__ import annotations

from corten.cli.quantity import human_binary, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.client.jsontext import Json

HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


def cpu_percent(before: Json, after: Json) -> float:
    """Percent of one CPU between two samples' cpu_stats; 200 is two CPUs busy."""
    spent = after["cpu_usage"]["total_usage"] - before["cpu_usage"].get("total_usage", 0)
    system = (after.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    cpus = after.get("online_cpus") or len(after["cpu_usage"].get("percpu_usage") or ()) or 1
    return spent / system * cpus * 100.0 if spent > 0 and system > 0 else 0.0


def memory_used(memory: Json) -> int:
    """Usage without the page cache that the kernel can drop at once (inactive files)."""
    usage = memory.get("usage") or 0
    stats = memory.get("stats") or {}
    inactive = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return usage - inactive if inactive < usage else usage


def disk_bytes(sample: Json) -> tuple[int, int]:
    """(read, written) bytes."""
    read = written = 0
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        kind = entry["op"][:1].lower()
        read += entry["value"] if kind == "r" else 0
        written += entry["value"] if kind == "w" else 0
    return read, written


def row(reference: str, identifier: str, name: str, before: Json, sample: Json, whole: bool) -> Row:
    """The placeholders of one container; dashes for one that does not run."""
    shown = identifier if whole else identifier[:12]
    if sample is None or not (sample.get("cpu_stats") or {}).get("cpu_usage", {}).get("total_usage"):
        dashes = dict.fromkeys(("CPUPerc", "MemPerc", "NetIO", "BlockIO", "PIDs"), "--")
        return {"Container": reference, "ID": shown, "Name": name, "MemUsage": "-- / --", **dashes}
    memory = sample.get("memory_stats") or {}
    used, limit = memory_used(memory), memory.get("limit") or 0
    networks = (sample.get("networks") or {}).values()
    received = sum(network["rx_bytes"] for network in networks)
    sent = sum(network["tx_bytes"] for network in networks)
    read, written = disk_bytes(sample)
    return {
        "Container": reference,
        "ID": shown,
        "Name": name,
        "CPUPerc": f"{cpu_percent(before, sample['cpu_stats']):.2f}%",
        "MemUsage": f"{human_binary(used)} / {human_binary(limit)}",
        "MemPerc": f"{used / limit * 100 if limit else 0.0:.2f}%",
        "NetIO": f"{human_size(received, 3)} / {human_size(sent, 3)}",
        "BlockIO": f"{human_size(read, 3)} / {human_size(written, 3)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current", 0)),
    }
