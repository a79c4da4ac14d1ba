"""corten inspect: everything about objects of any kind."""

from __future__ import annotations

from corten.cli import inspection
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten inspect [OPTIONS] NAME|ID [NAME|ID...]"
EXAMPLES = (
    "corten inspect web",
    "corten inspect -f '{{.State.Pid}}' web",
    "corten inspect --type image -f '{{json .Config.Env}}' busybox",
)
ARGS = (1, None)
OPTIONS = (
    inspection.FORMAT,
    inspection.SIZE,
    ("type", "", "str", "KIND", "Only this kind: container, image, volume or network"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    kind = arguments.text("type")
    if kind and kind not in inspection.PATHS:
        raise InvalidArgument(f"{kind!r} is not a kind of object: it is {', '.join(inspection.PATHS)}")
    kinds = [kind] if kind else list(inspection.PATHS)
    return inspection.inspect(
        session, arguments.rest, kinds, arguments.text("format"), size=arguments.on("size")
    )
