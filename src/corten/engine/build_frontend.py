"""`# syntax=IMAGE` and the build argument BUILDKIT_SYNTAX: BuildKit runs that image to read the file. Here
the newest Dockerfile syntax is built in, and nothing else is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from corten.build.parser.directives import find_directive
from corten.build.parser.white_space import replace_invalid
from corten.build.progress import Warning
from corten.engine.build_definition import Definition

_ARGUMENT = "BUILDKIT_SYNTAX"
_OURS = "dockerfile"


def foreign_frontend(definition: Definition, build_args: Mapping[str, str]) -> Iterator[Warning]:
    """A warning when the file asks for a frontend that does not read Dockerfiles: whatever mirror it comes
    from, the name of one that does begins with `dockerfile`."""
    directive = find_directive(definition.data, "syntax")
    given = build_args.get(_ARGUMENT, "")
    asked = given or (directive.value if directive is not None else "")
    image = replace_invalid(asked.partition(" ")[0])
    name = image.partition("@")[0].rpartition("/")[2]
    if image and not name.startswith(_OURS):
        line = directive.line if directive is not None and not given else 0
        yield Warning(
            "ForeignFrontend",
            f"{image} is not run: {definition.name} is read as a Dockerfile",
            "Frontends of other languages are not run; the newest Dockerfile syntax is built in",
            lines=(line, line),
        )
