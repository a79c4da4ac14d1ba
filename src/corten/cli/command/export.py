"""corten export: a container's file system as a tar archive."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten export [OPTIONS] CONTAINER"
EXAMPLES = ("corten export -o web.tar web", "corten export web | tar -t")
ARGS = (1, 1)
OPTIONS = (("output", "o", "str", "FILE", "Write to a file instead of stdout"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.transfer import download

    name = arguments.rest[0]
    download(session, f"/containers/{name}/export", {}, arguments.text("output"), f"exporting {name}")
    return 0
