"""corten builder prune: take from the build cache what is not in use."""

from __future__ import annotations

from corten.cli import pruning
from corten.cli.each import confirm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten builder prune [OPTIONS]"
DETAIL = """\
Without --all, cache mounts and contexts stay that a build has used within two days. Layers of images stay in
any case."""
EXAMPLES = (
    "corten builder prune -f --filter until=48h",
    "corten builder prune -a -f --max-used-space 10GB",
)
ARGS = (0, 0)
OPTIONS = (
    ("all", "a", "bool", "", "Everything that no build uses"),
    ("builder", "", "str", "NAME", "(hidden) there is one builder"),
    ("filter", "", "list", "KEY=VALUE", "Only some: until=<time or span>, id=, type=, description="),
    pruning.FORCE,
    ("keep-storage", "", "str", "BYTES", "(hidden) the same as --reserved-space"),
    ("max-used-space", "", "str", "BYTES", "What the cache may take when it is done"),
    ("min-free-space", "", "str", "BYTES", "How much of the disk is to be free when it is done"),
    ("reserved-space", "", "str", "BYTES", "What of the cache stays in any case"),
    ("verbose", "", "bool", "", "(hidden) the list has everything"),
)
_SIZES = ("keep-storage", "max-used-space", "min-free-space", "reserved-space")


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.listing import filters
    from corten.cli.quantity import parse_bytes

    query = filters(arguments.many("filter"))
    if arguments.on("all"):
        query["all"] = "1"
    for name in _SIZES:
        if text := arguments.text(name):
            query[name] = str(parse_bytes(text, f"--{name}"))
    what = "all build cache." if arguments.on("all") else "all dangling build cache."
    if confirm(f"This will remove {what}", arguments.on("force")):
        pruning.total(pruning.prune_builds(session, query))
    return 0
