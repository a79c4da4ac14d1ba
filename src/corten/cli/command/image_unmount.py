"""corten image unmount: takes away what `image mount` made."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten image unmount [OPTIONS] PATH"
EXAMPLES = ("corten image unmount /mnt/debian",)
ARGS = (1, 1)
OPTIONS = (("force", "f", "bool", "", "Also while a process uses it, which keeps it until it ends"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {"path": os.path.abspath(arguments.rest[0])}
    if arguments.on("force"):
        query["force"] = "true"
    session.transport.request("DELETE", "/corten/mounts", query=query).read()
    return 0
