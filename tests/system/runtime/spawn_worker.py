"""Spawns plans as the launcher does: a bare interpreter with one thread. Reads a list of jobs, prints
results.
"""

import marshal
import os
import sys

sys.path.insert(0, sys.argv[1])

from corten.errors import CortenError
from corten.runtime.execute import cleanup, spawn
from corten.runtime.operations import Plan


def main() -> None:
    plan_value, options = marshal.loads(sys.stdin.buffer.read())
    plan = Plan.from_primitive(plan_value)
    before = set(os.listdir("/proc/self/fd"))
    result: dict[str, object] = {}
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    out_read, out_write = os.pipe()
    try:
        created: list[int] = []
        held: list[int] = []

        def on_held(pid: int, pidfd: int) -> None:
            held.append(pid)
            os.write(write_end, b"1")

        spawned = spawn(
            plan,
            stdio=(null, out_write, out_write),
            start_fd=read_end if options.get("hold") else None,
            on_created=lambda pid, pidfd: created.append(pid),
            on_held=on_held if options.get("shared") else None,
        )
        result["created"] = created == [spawned.pid]
        result["held"] = spawned.held
        result["told"] = held == [spawned.pid]
        if spawned.held:
            os.write(write_end, b"1")
            spawned.finish()
        if "signal" in options:
            os.read(out_read, 1)
            os.kill(spawned.pid, options["signal"])
        os.close(out_write)
        output = b""
        while piece := os.read(out_read, 65536):
            output += piece
        result["status"] = os.waitstatus_to_exitcode(os.waitpid(spawned.pid, 0)[1])
        result["output"] = output
        result["warnings"] = spawned.warnings
        os.close(spawned.pidfd)
        cleanup(plan)
    except CortenError as error:
        result["error"] = type(error).__name__, error.message
        os.close(out_write)
    for fd in (read_end, write_end, null, out_read):
        os.close(fd)
    result["leaked"] = sorted(set(os.listdir("/proc/self/fd")) - before)
    try:
        os.waitpid(-1, 0)
        result["children"] = True
    except ChildProcessError:
        result["children"] = False
    result["modules"] = sorted(
        {"json", "logging", "asyncio", "threading", "enum", "typing"} & set(sys.modules)
    )
    sys.stdout.buffer.write(marshal.dumps(result))


main()
