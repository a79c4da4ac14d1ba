"""corten load: images from an archive (docker-archive, OCI archive; plain, gzip or zstd)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten load [OPTIONS]"
EXAMPLES = ("corten load -i images.tar", "corten load < busybox.tar.zst")
ARGS = (0, 0)
OPTIONS = (
    ("input", "i", "str", "FILE", "Read from a file instead of stdin"),
    ("platform", "", "str", "PLATFORM", "Only this platform, as in linux/amd64"),
    ("quiet", "q", "bool", "", "No progress"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import handover, progress, transfer

    path = arguments.text("input")
    if not path and sys.stdin.isatty():
        from corten.errors import InvalidArgument

        raise InvalidArgument("requested load from stdin, but stdin is empty: give a file by -i")
    query = {"quiet": "1" if arguments.on("quiet") else "0"}
    if arguments.has("platform"):
        query["platform"] = arguments.text("platform")
    headers = {"Content-Type": "application/x-tar"}
    with transfer.source(path or "-", "loading", quiet=arguments.on("quiet")) as body:
        session.transport.ensure_running()
        # The engine reads a file where it lies.
        handed = handover.offer_file(session.transport.address, body.fileno())
        try:
            if handed is not None:
                headers[handover.HEADER] = handed.token
            answer = session.transport.request(
                "POST", "/images/load", query=query, body=body if handed is None else b"", headers=headers
            )
            return progress.follow(answer, quiet=arguments.on("quiet"))
        finally:
            if handed is not None:
                handed.close()
