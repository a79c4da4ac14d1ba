"""corten registry restore: what a backup holds, into an empty database."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry restore [OPTIONS] FILE"
DETAIL = """\
All of the backup or nothing: one transaction. A backup of an older corten is upgraded. Stop the registry
before, so that no push is lost that it has just acknowledged. Then every blob is looked for in the storage;
the exit code is 1 when some are missing, as those that were collected after the backup was made."""
EXAMPLES = (
    "corten registry restore /backups/registry.zst",
    "corten registry restore --replace --root ~/registry registry.zst",
)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("replace", "", "bool", "", "Give up everything that the database holds now, accounts as well"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the one who restores."""
    import os

    from corten.cli.registry_process import become, place

    become(
        "restore",
        {
            "file": arguments.text("config"),
            "set": place(arguments),
            "path": os.path.abspath(arguments.rest[0]),
            "replace": arguments.on("replace"),
        },
    )
