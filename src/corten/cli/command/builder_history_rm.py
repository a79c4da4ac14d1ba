"""corten builder history rm: forget builds."""

from __future__ import annotations

from corten.cli.build_records import BUILDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten builder history rm [OPTIONS] [REF...]"
DETAIL = (
    "What the builds have made, and the build cache, stay. A build is named by its id, its beginning, or ^N."
)
EXAMPLES = ("corten builder history rm ^0 ^1", "corten builder history rm --all")
ARGS = (0, None)
OPTIONS = (("all", "", "bool", "", "Every one"), BUILDER)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.build_records import path
    from corten.cli.each import each
    from corten.cli.options import UsageError

    if arguments.on("all") == bool(arguments.rest):
        raise UsageError("'corten builder history rm' removes the builds that are named, or --all")
    if arguments.on("all"):
        session.delete("/corten/builds")
        return 0
    # All are looked up first: ^1 is another build when ^0 is gone.
    found: list[str] = []
    code = each(arguments.rest, lambda name: found.append(session.get(path(name))["id"]), show=False)
    return max(each(list(dict.fromkeys(found)), lambda name: session.delete(path(name))), code)
