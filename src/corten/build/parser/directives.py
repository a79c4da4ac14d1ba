"""Parser directives: `# escape=…`, `# syntax=…`, `# check=…` at the very top of a Dockerfile."""

from __future__ import annotations

import re

import msgspec

from corten.build.parser.source_error import DockerfileError
from corten.build.parser.syntax_tree import Directive
from corten.build.parser.white_space import SPACE

NAMES = ("syntax", "escape", "check")

_ASSIGNMENT = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*([^\n]+)\Z")
_BOM = "\ufeff"


class DirectiveReader:
    """Takes the lines of a file one by one until one of them is not a directive: from then on none is.
    `comment` is what a directive begins with."""

    def __init__(self, comment: str = "#", line: int = 0) -> None:
        self.directives: list[Directive] = []
        self._comment = comment
        self._line = line
        self._done = False

    def read(self, line: str) -> Directive | None:
        """The directive that `line` (without its ending) is. Raises DockerfileError where it is one that
        was there before."""
        self._line += 1
        if self._done:
            return None
        found = _parse(line, self._comment)
        if found is None:
            self._done = True
            return None
        name, value = found
        if any(directive.name == name for directive in self.directives):
            raise DockerfileError(f"only one {name} parser directive can be used", self._line, 1)
        directive = Directive(name, value, self._line)
        self.directives.append(directive)
        return directive


def _parse(line: str, comment: str) -> tuple[str, str] | None:
    if not line.startswith(comment):
        return None
    match = _ASSIGNMENT.match(line[len(comment) :].lstrip(SPACE))
    if match is None:
        return None
    name, value = match[1].lower(), match[2].rstrip("\t\n\f\r ") or match[2]
    return (name, value) if name in NAMES else None


def check_in_comments(comments: tuple[str, ...]) -> str:
    """The options of the first `check=…` among the comments above an instruction, without what follows
    them behind a space; empty: none."""
    for comment in comments:
        found = _parse(comment, "")
        if found and found[0] == "check":
            return found[1].partition(" ")[0]
    return ""


def find_directive(data: bytes, name: str) -> Directive | None:
    """The directive `name` of a file that need not be parsed for it. A first line `#!…` is skipped.

    For `syntax`, files of other languages are understood as well: `// syntax=…`, and a JSON object with
    the key `syntax` (line 1 then, as for all that has no line of its own).
    """
    text = data.decode("utf-8", "surrogateescape").removeprefix(_BOM)
    skipped = 0
    if text.startswith("#!"):
        text = text.partition("\n")[2]
        skipped = 1
    for comment in ("#", "//") if name == "syntax" else ("#",):
        reader = DirectiveReader(comment, skipped)
        try:
            for line in text.split("\n"):
                if reader.read(line.removesuffix("\r")) is None:
                    break
        except DockerfileError:
            pass  # what came before the second one counts; parsing the file will tell
        for directive in reader.directives:
            if directive.name == name:
                return directive
    return _in_json(text, name, skipped + 1) if name == "syntax" else None


def _in_json(text: str, name: str, line: int) -> Directive | None:
    if not text.lstrip("\t\n\r ").startswith("{"):
        return None
    try:
        value = msgspec.json.decode(text.encode("utf-8", "surrogateescape"), type=dict[str, object]).get(name)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return Directive(name, value, line) if isinstance(value, str) else None
