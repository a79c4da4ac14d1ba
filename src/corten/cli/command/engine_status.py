"""corten engine status: whether it runs, where, and what it costs."""

from __future__ import annotations

import os

from corten.client import address, transport
from corten.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten engine status"
DETAIL = "The exit code is 0 when the engine runs and 3 when it does not."
EXAMPLES = ("corten engine status",)
ARGS = (0, 0)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    where = address.resolve()
    engine = transport.Transport(where)
    try:
        info = engine.request("GET", "/info").json()
    except Unavailable:
        print(f"no engine runs at {where}")
        return 3
    finally:
        engine.close()
    print(f"running at {where}")
    print(f"version {info['ServerVersion']}, data in {info['DockerRootDir']}")
    print(
        f"containers: {info['ContainersRunning']} running, {info['Containers']} in all;"
        f" images: {info['Images']}"
    )
    for line in _process(where):
        print(line)
    return 0


def _process(where: address.Address) -> list[str]:
    """The engine's process and memory, when it is on this machine."""
    try:
        with open(os.path.join(os.path.dirname(where.path), "engine.pid"), encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            resident = next(line.split()[1] for line in file if line.startswith("VmRSS:"))
    except (OSError, ValueError, StopIteration):
        return []
    return [f"process {pid}, {int(resident) / 1024:.0f} MiB resident"]
