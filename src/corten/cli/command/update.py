"""corten update: other limits for containers, running ones too."""

from __future__ import annotations

from corten.cli import container_request
from corten.cli.each import each
from corten.cli.session import warn_all
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten update [OPTIONS] CONTAINER [CONTAINER...]"
EXAMPLES = ("corten update --memory 256m --cpus 1 web", "corten update --restart unless-stopped web db")
ARGS = (1, None)
OPTIONS = (
    ("blkio-weight", "", "int", "WEIGHT", "Share of disk time, 10 to 1000"),
    ("cpu-period", "", "int", "MICROSECONDS", "Period of the CPU quota"),
    ("cpu-quota", "", "int", "MICROSECONDS", "CPU time in each period"),
    ("cpu-rt-period", "", "int", "MICROSECONDS", "Period of real-time CPU time"),
    ("cpu-rt-runtime", "", "int", "MICROSECONDS", "Real-time CPU time in each period"),
    ("cpu-shares", "c", "int", "SHARES", "Share of CPU time, relative to others (1024 is normal)"),
    ("cpus", "", "str", "CPUS", "How many CPUs' time it may use, as in 0.5"),
    ("cpuset-cpus", "", "str", "CPUS", "The CPUs it runs on, as in 0-2 or 0,1"),
    ("cpuset-mems", "", "str", "NODES", "The memory nodes it uses, as in 0-2 or 0,1"),
    ("memory", "m", "str", "BYTES", "Memory limit, as in 512m or 2g"),
    ("memory-reservation", "", "str", "BYTES", "Memory to keep for it when memory is short"),
    ("memory-swap", "", "str", "BYTES", "Memory and swap together; -1 for no limit on swap"),
    ("pids-limit", "", "int", "N", "How many processes it may have; -1 for no limit"),
    ("restart", "", "str", "POLICY", "no, always, unless-stopped or on-failure[:N]"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    if not arguments.values:
        raise InvalidArgument("you must provide one or more flags when using this command")
    body: dict[str, Json] = container_request.create_body(arguments)["HostConfig"]

    def update(name: str) -> None:
        warn_all(session.post(f"/containers/{name}/update", json=body))

    return each(arguments.rest, update)
