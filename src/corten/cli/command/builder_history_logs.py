"""corten builder history logs: what a build has told."""

from __future__ import annotations

import sys

from corten.cli.build_records import BUILDER, REFERENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.build_steps import Display
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten builder history logs [OPTIONS] [REF]"
DETAIL = REFERENCE
EXAMPLES = ("corten builder history logs", "corten builder history logs ^1 --progress rawjson")
ARGS = (0, 1)
OPTIONS = (BUILDER, ("progress", "", "str", "FORM", "plain (the default) or rawjson"))


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import build_records

    display = _display(arguments.text("progress", "plain"))
    for event in build_records.events(session, build_records.find(session, arguments.rest)):
        display.event(event)
    display.end()
    return 0


def _display(form: str) -> Display:
    if form == "plain":
        from corten.cli.build_plain import PlainDisplay

        return PlainDisplay(sys.stdout)
    if form == "rawjson":
        from corten.cli.build_rawjson import RawDisplay

        return RawDisplay(sys.stdout)
    from corten.errors import InvalidArgument

    raise InvalidArgument(f"invalid --progress {form!r}: it is plain or rawjson")
