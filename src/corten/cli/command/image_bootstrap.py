"""corten image bootstrap: a base image from the distribution's own packages; no registry is needed."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten image bootstrap [OPTIONS] busybox|debian"
DETAIL = """\
busybox comes from the package busybox-static, in a second; debian is made by mmdebstrap (minbase), in a
minute."""
EXAMPLES = ("corten image bootstrap busybox", "corten image bootstrap --tag base/debian:12 debian")
ARGS = (1, 1)
OPTIONS = (
    ("quiet", "q", "bool", "", "No progress"),
    ("tag", "t", "str", "NAME[:TAG]", "Name of the image (default busybox:latest, debian:latest)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import progress

    kind = arguments.rest[0]
    if kind not in ("busybox", "debian"):
        raise InvalidArgument(
            f"cannot bootstrap {kind!r}: the images that can be made here are busybox and debian"
        )
    query = {"image": kind}
    if tag := arguments.text("tag"):
        query["tag"] = tag
    answer = session.transport.request("POST", "/corten/bootstrap", query=query)
    return progress.follow(answer, quiet=arguments.on("quiet"))
