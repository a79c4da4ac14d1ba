"""corten tag: another name for an image."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]"
EXAMPLES = ("corten tag busybox registry.example.com/base/busybox:1",)
ARGS = (2, 2)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.transfer import split_tag

    source, target = arguments.rest
    name, tag = split_tag(target)
    session.post(f"/images/{source}/tag", {"repo": name, "tag": tag})
    return 0
