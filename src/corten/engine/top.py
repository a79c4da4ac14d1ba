"""`top`: the host's ps, and of its lines those of the container."""

from __future__ import annotations

import asyncio
import shlex

from corten.engine.cgroups import container_cgroup
from corten.engine.core import Core
from corten.engine.record import Container
from corten.engine.results import Top
from corten.errors import Conflict, InvalidArgument, Unsupported


async def top(core: Core, container: Container, ps_args: str) -> Top:
    """Runs `ps` with the caller's options and keeps the container's processes."""
    if not container.state.status.has_process:
        raise Conflict(f"container {container.id} is not running")
    cgroup = container_cgroup(core, container)
    pids = set(cgroup.pids()) if cgroup is not None else set()
    pids.add(container.state.pid)
    arguments = _arguments(ps_args)
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise Unsupported("cannot list processes: this host has no ps (install procps)") from error
    output, errors = await process.communicate()
    if process.returncode:
        raise InvalidArgument(f"ps {ps_args}: {errors.decode(errors='replace').strip()}")
    return parse_ps(output.decode(errors="replace"), pids)


def _arguments(ps_args: str) -> list[str]:
    try:
        arguments = shlex.split(ps_args)
    except ValueError as error:
        raise InvalidArgument(f"invalid ps options {ps_args!r}: {error}") from error
    return arguments or ["-ef"]


def parse_ps(text: str, pids: set[int]) -> Top:
    """The header and the lines whose PID is one of `pids`; the last column may hold blanks."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output: choose options that show it")
    column = titles.index("PID")
    rows = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            rows.append(fields)
    return Top(titles, rows)
