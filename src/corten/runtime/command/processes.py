"""`ps`: the processes of a container."""

from __future__ import annotations

import json
import subprocess
import sys

from corten.errors import Conflict, Unsupported
from corten.runtime.command.container import load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    options = Options("ps [--format table|json] ID [PS OPTIONS]", values={"format": "f"})
    parsed = options.parse(arguments, count=(1, None))
    container = load(context.root, parsed.words[0])
    group = container.cgroup()
    if group is None:
        raise Conflict(f"container {container.record.id} has no cgroup: its processes are not known")
    pids = sorted(group.pids())
    if parsed.values.get("format") == "json":
        sys.stdout.write(json.dumps(pids) + "\n")
        return 0
    try:
        done = subprocess.run(
            ["ps", *(parsed.words[1:] or ["-ef"])], stdout=subprocess.PIPE, text=True, check=False
        )
    except FileNotFoundError:
        raise Unsupported("the program ps is not installed here: use --format json") from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines or "PID" not in lines[0].split():
        raise Conflict("ps shows no column PID: choose other options")
    column = lines[0].split().index("PID")
    sys.stdout.write(lines[0] + "\n")
    for line in lines[1:]:
        fields = line.split()
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            sys.stdout.write(line + "\n")
    return done.returncode
