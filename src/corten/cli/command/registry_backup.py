"""corten registry backup: everything that a registry knows, in one file."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry backup [OPTIONS] FILE"
DETAIL = """\
Repositories, tags, manifests, accounts, tokens: all of the database as it is at one moment, while the
registry serves; no blobs, which are copied afterwards by whatever copies files or buckets. A file that is
there is replaced when the new one is whole. Only its owner can read it: it has hashes of passwords and keys.
It can be restored into SQLite and PostgreSQL, wherever it came from."""
EXAMPLES = (
    "corten registry backup /backups/registry.zst",
    "corten registry backup --database postgresql://corten@db/registry registry.zst",
)
ARGS = (1, 1)
OPTIONS = PLACE_OPTIONS


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the one who writes it."""
    import os

    from corten.cli.registry_process import become, place

    become(
        "backup",
        {
            "file": arguments.text("config"),
            "set": place(arguments),
            "path": os.path.abspath(arguments.rest[0]),
        },
    )
