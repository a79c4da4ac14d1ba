"""An error in a Dockerfile, with the lines and the word to blame."""

from __future__ import annotations

from corten.build.parser.syntax_tree import Node
from corten.build.parser.white_space import replace_invalid
from corten.errors import InvalidArgument


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
        reason = replace_invalid(reason)
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
