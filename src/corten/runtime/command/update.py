"""`update`: change limits of a container that runs."""

from __future__ import annotations

import os
import sys

from corten.errors import Conflict, InvalidArgument
from corten.oci.runtime_spec import CPU, BlockIO, Memory, Pids, Resources, decode_resources
from corten.runtime.command.container import load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.runtime.command.main import Context

_MEMORY = {"memory": "limit", "memory-reservation": "reservation", "memory-swap": "swap"}
_CPU = {
    "cpu-period": "period",
    "cpu-quota": "quota",
    "cpu-burst": "burst",
    "cpu-share": "shares",
    "cpu-idle": "idle",
    "cpu-rt-period": "realtime_period",
    "cpu-rt-runtime": "realtime_runtime",
}
_CPUSET = {"cpuset-cpus": "cpus", "cpuset-mems": "mems"}
OPTIONS = Options(
    "update [--resources FILE] [--memory BYTES] [--cpu-quota US] [--pids-limit N] ... ID",
    values={"resources": "r", "pids-limit": "", "blkio-weight": ""}
    | dict.fromkeys((*_MEMORY, *_CPU, *_CPUSET), ""),
)


def run(context: Context, arguments: list[str]) -> int:
    parsed = OPTIONS.parse(arguments, count=(1, 1))
    container = load(context.root, parsed.words[0])
    status = container.status
    if status not in ("created", "running", "paused"):
        raise Conflict(f"cannot update container {container.record.id}: it is {status}")
    if "resources" in parsed.values:
        resources = _read(parsed.values["resources"])
    else:
        memory: dict[str, Any] = {
            field: parsed.number(name) for name, field in _MEMORY.items() if name in parsed.values
        }
        cpu: dict[str, Any] = {f: parsed.number(n) for n, f in _CPU.items() if n in parsed.values}
        cpu |= {field: parsed.values[name] for name, field in _CPUSET.items() if name in parsed.values}
        weight, pids = parsed.number("blkio-weight", -1), "pids-limit" in parsed.values
        resources = Resources(
            memory=Memory(**memory) if memory else None,
            cpu=CPU(**cpu) if cpu else None,
            pids=Pids(limit=parsed.number("pids-limit")) if pids else None,
            block_io=BlockIO(weight=weight) if weight >= 0 else None,
        )
    group = container.cgroup()
    if group is None:
        raise Conflict(f"cannot update container {container.record.id}: it has no cgroup")
    for warning in group.update(resources, best_effort=os.geteuid() != 0):
        context.tell("warning", warning)
    return 0


def _read(path: str) -> Resources:
    try:
        if path == "-":
            return decode_resources(sys.stdin.buffer.read(), "standard input")
        with open(path, "rb") as file:  # noqa: PTH123
            return decode_resources(file.read(), path)
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error
