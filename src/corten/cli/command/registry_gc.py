"""corten registry gc: collects garbage now."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry gc [OPTIONS]"
DETAIL = """\
A registry that serves collects by itself, every minute; this does it now, whether or not it serves.
Blobs that a push may still need stay: those that were uploaded, mounted or asked for within the grace."""
EXAMPLES = ("corten registry gc --dry-run", "corten registry gc --root ~/registry --grace 0")
ARGS = (0, 0)
OPTIONS = (
    *PLACE_OPTIONS,
    ("dry-run", "n", "bool", "", "Delete nothing: tell what would go, what stays for now, and why"),
    ("grace", "", "int", "SECONDS", "How long a push may rely on a blob without a manifest (default 900)"),
    ("quiet", "q", "bool", "", "No summary"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the collector."""
    from corten.cli.registry_process import become, place

    settings = place(arguments)
    request: dict[str, object] = {
        "file": arguments.text("config"),
        "set": settings,
        "dry-run": arguments.on("dry-run"),
        "quiet": arguments.on("quiet"),
    }
    if arguments.has("grace"):
        request["grace"] = arguments.number("grace")
    become("gc", request)
