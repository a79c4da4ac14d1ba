"""An error in a Dockerfile, and how it is shown: the lines around it, and a caret under the word."""

from __future__ import annotations

from collections.abc import Iterator

from corten.build.parser.syntax_tree import Node
from corten.errors import InvalidArgument

_AROUND = 2
_LONGEST = 200


class DockerfileError(InvalidArgument):
    """What is wrong (`reason`), and where: `line` to `end_line` are those of the instruction. The word at
    fault stands at `column` of `caret_line`, if that is known (0 otherwise), and has `length` characters.
    All count from 1."""

    def __init__(
        self,
        reason: str,
        line: int,
        column: int = 0,
        *,
        end_line: int = 0,
        caret_line: int = 0,
        length: int = 1,
    ) -> None:
        super().__init__(f"Dockerfile, line {line}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column
        self.end_line = max(line, end_line)
        self.caret_line = caret_line or line
        self.length = max(1, length)


def error_at(node: Node, reason: str, word: str = "") -> DockerfileError:
    """An error in `node`; `word` is what the caret points at, if it stands there as such."""
    offset = node.original.find(word) if word else -1
    return error_at_offset(node, reason, max(offset, 0), len(word) if offset >= 0 else len(node.keyword))


def error_at_offset(node: Node, reason: str, offset: int, length: int) -> DockerfileError:
    """An error in `node`, at this place of its `original`."""
    at = node.position(offset)
    return DockerfileError(
        reason,
        node.start_line,
        at.column,
        end_line=node.end_line,
        caret_line=at.line,
        length=length,
    )


def render(error: DockerfileError, source: bytes, file: str = "Dockerfile") -> str:
    """The place of the error as text of several lines, the last of them without a line feed:

    Dockerfile:3
    --------------------
       1 |     FROM debian
       2 |
       3 | >>> RUM make
         |     ^^^
    --------------------
    """
    lines = source.decode("utf-8", "replace").removesuffix("\n").split("\n")
    rule = "-" * 20
    return "\n".join([f"{file}:{error.line}", rule, *_excerpt(error, lines), rule])


def _excerpt(error: DockerfileError, lines: list[str]) -> Iterator[str]:
    first = max(1, error.line - _AROUND)
    last = min(len(lines), error.end_line + _AROUND, error.caret_line + _LONGEST)
    width = max(4, len(str(last)))
    for number in range(max(first, error.caret_line - _LONGEST), last + 1):
        mark = ">>>" if error.line <= number <= error.end_line else "   "
        text = lines[number - 1].rstrip("\r")
        if number == 1:
            text = text.removeprefix("\ufeff")
        yield f"{number:{width}} | {mark} {_printable(text)}".rstrip()
        if number == error.caret_line and error.column:
            # Tabs stay tabs, so that the caret stands where the terminal has put the word.
            before = "".join("\t" if character == "\t" else " " for character in text[: error.column - 1])
            length = max(1, min(error.length, len(text) - error.column + 1))
            yield f"{'':{width}} |     {before}{'^' * length}"


def _printable(text: str) -> str:
    """Without control characters: a Dockerfile must not drive the terminal that shows its error."""
    return "".join(c if c == "\t" or c.isprintable() else "\ufffd" for c in text)
