"""corten image mount: a read-only view of an image at a directory, or the list of them."""

from __future__ import annotations

import os

from corten.cli import listing
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten image mount [OPTIONS] [IMAGE PATH]"
DETAIL = """\
PATH is an empty directory. The view is read-only and stays until 'corten image unmount', also when the engine
ends; the image cannot be removed meanwhile. Without arguments, the views are listed. Needs root's engine."""
EXAMPLES = ("corten image mount debian /mnt/debian", "corten image mount")
ARGS = (0, 2)
OPTIONS = (("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),)
HEADERS = {"Path": "PATH", "Image": "IMAGE", "ID": "IMAGE ID"}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    if not arguments.rest:
        mounts = session.get("/corten/mounts")
        rows = [{"Path": item["Path"], "Image": item["Name"], "ID": item["Image"][7:19]} for item in mounts]
        listing.show(rows, headers=HEADERS, columns=tuple(HEADERS), style=arguments.text("format"))
        return 0
    if len(arguments.rest) != 2:
        raise InvalidArgument("where shall the image be mounted? Give an image and an empty directory")
    image, path = arguments.rest
    made = session.post(f"/corten/images/{image}/mount", {"path": os.path.abspath(path)})
    print(made["Path"])
    return 0
