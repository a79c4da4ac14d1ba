"""`inspect`: everything about objects as JSON, or by a template; what is missing is told, the rest still
shown."""

from __future__ import annotations

import sys

from corten.errors import CortenError, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from corten.cli.options import Option
    from corten.cli.session import Session
    from corten.client.jsontext import Json

FORMAT: Option = ("format", "f", "str", "TEMPLATE", "Go template, or 'json'")
SIZE: Option = ("size", "s", "bool", "", "Show the sizes of containers as well")

# kind: (path before the name, path after it)
PATHS = {
    "container": ("/containers/", "/json"),
    "image": ("/images/", "/json"),
    "volume": ("/volumes/", ""),
    "network": ("/networks/", ""),
}


def inspect(
    session: Session, names: Sequence[str], kinds: Sequence[str], style: str, *, size: bool = False
) -> int:
    """Prints what the first of `kinds` that has each name says about it."""
    found: list[Json] = []
    problems: list[str] = []
    for name in names:
        try:
            found.append(_get(session, name, kinds, size))
        except NotFound as error:
            problems.append(error.message if len(kinds) == 1 else f"no such object: {name}")
        except CortenError as error:
            problems.append(error.message)
    _print(found, style)
    sys.stdout.flush()
    for problem in problems:
        print(f"corten: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _get(session: Session, name: str, kinds: Sequence[str], size: bool) -> Json:
    last: NotFound | None = None
    for kind in kinds:
        before, after = PATHS[kind]
        try:
            return session.get(
                f"{before}{name}{after}", {"size": "1"} if size and kind == "container" else None
            )
        except NotFound as error:
            last = error
        except InvalidArgument:
            if len(kinds) == 1:
                raise  # else: a name that another kind of object cannot have
    raise last or NotFound(f"no such object: {name}")


def _print(found: list[Json], style: str) -> None:
    from corten.cli.listing import print_json

    if not style:
        print_json(found)
        return
    from corten.cli.template import Template, to_json

    if style == "json":
        if found:
            print(to_json(found))
        return
    template = Template(style.replace("\\t", "\t").replace("\\n", "\n"), strict=True)
    for item in found:
        print(template.render(item))
