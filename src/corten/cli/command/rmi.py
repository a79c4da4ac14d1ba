"""corten rmi: remove images, or names of images."""

from __future__ import annotations

from corten.cli.each import each
from corten.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten rmi [OPTIONS] IMAGE [IMAGE...]"
EXAMPLES = ("corten rmi base:1", "corten rmi -f 1f3c0a2b")
ARGS = (1, None)
OPTIONS = (
    ("force", "f", "bool", "", "Remove it although stopped containers use it or it has several names"),
    ("no-prune", "", "bool", "", "Keep untagged parents"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {key: "1" for key, name in (("force", "force"), ("noprune", "no-prune")) if arguments.on(name)}

    def remove(name: str) -> None:
        try:
            for item in session.delete(f"/images/{name}", query):
                for verb in ("Untagged", "Deleted"):
                    if item.get(verb):
                        print(f"{verb}: {item[verb]}")
        except NotFound:
            if not arguments.on("force"):
                raise

    return each(arguments.rest, remove, show=False)
