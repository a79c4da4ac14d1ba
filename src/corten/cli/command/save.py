"""corten save: images as one archive (docker-archive and OCI layout)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten save [OPTIONS] IMAGE [IMAGE...]"
EXAMPLES = ("corten save -o images.tar busybox debian", "corten save busybox | ssh other corten load")
ARGS = (1, None)
OPTIONS = (
    ("output", "o", "str", "FILE", "Write to a file instead of stdout"),
    ("platform", "", "str", "PLATFORM", "Only this platform, as in linux/amd64"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.transfer import download

    query: dict[str, str | list[str]] = {"names": arguments.rest}
    if arguments.has("platform"):
        query["platform"] = arguments.text("platform")
    download(session, "/images/get", query, arguments.text("output"), f"saving {', '.join(arguments.rest)}")
    return 0
