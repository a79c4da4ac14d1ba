"""corten registry import: the storage directory of Docker's registry comes into this one."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry import [OPTIONS] DIR"
DETAIL = """\
DIR is what distribution (registry:2, registry:3, docker-registry) has as its rootdirectory. Every tag and
manifest is taken, and every blob that they need; on one file system no byte is copied (hard links). The old
registry may go on, and this one may serve already; run it again for what has come since: nothing is taken
twice, a tag moves only to what is newer, nothing is deleted. What is damaged or missing is named, and the
exit code is 1; the rest is taken."""
EXAMPLES = (
    "corten registry import /var/lib/docker-registry",
    "corten registry import --root ~/registry /srv/registry/docker/registry/v2",
)
ARGS = (1, 1)
OPTIONS = (
    *PLACE_OPTIONS,
    ("workers", "", "int", "N", "How many processes compare digests (default: one for each core)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the one who imports."""
    import os

    from corten.cli.registry_process import become, place

    become(
        "import",
        {
            "file": arguments.text("config"),
            "set": place(arguments),
            "path": os.path.abspath(arguments.rest[0]),
            "workers": arguments.number("workers"),
        },
    )
