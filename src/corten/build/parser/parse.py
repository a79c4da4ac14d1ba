"""From the bytes of a Dockerfile to its syntax tree."""

from __future__ import annotations

import msgspec

from corten.build.parser.arguments import Arguments, parse_arguments
from corten.build.parser.command_line import split_command
from corten.build.parser.directives import DirectiveReader
from corten.build.parser.heredocs import heredocs_in_line
from corten.build.parser.source_error import DockerfileError, error_at_offset
from corten.build.parser.syntax_tree import Heredoc, Node, Segment, SyntaxTree
from corten.build.parser.white_space import SPACE
from corten.build.parser.words import WordError

LONGEST_LINE = 65_535
"""Bytes of one line, without its ending."""

_WITH_HEREDOCS = ("add", "copy", "run")

_DEEPEST_TRIGGER = 20


def parse(data: bytes) -> SyntaxTree:
    """The syntax tree of a Dockerfile. What is not UTF-8 in it is kept as lone surrogates (PEP 383). Raises
    DockerfileError, and nothing else."""
    return _Parser(_decode(data)).parse()


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        encoding = "UTF-32" if data.startswith((b"\xff\xfe\0\0", b"\0\0")) else "UTF-16"
        raise DockerfileError(f"the file is in {encoding}; save it as UTF-8", 1)
    nul = data.find(b"\0")
    if nul >= 0:
        line_start = data.rfind(b"\n", 0, nul) + 1
        column = len(data[line_start:nul].decode("utf-8", "replace")) + 1
        what = "the file has a NUL byte; it must be text in UTF-8"
        raise DockerfileError(what, data.count(b"\n", 0, nul) + 1, column)
    return data.decode("utf-8", "surrogateescape")


class _Lines:
    """The lines of a file with their endings; `number` is that of the last one that was read."""

    def __init__(self, text: str) -> None:
        self.number = 0
        self._lines = text.split("\n")
        self._count = len(self._lines)
        if not self._lines[-1]:
            self._count -= 1

    def next(self) -> str | None:
        if self.number >= self._count:
            return None
        line = self._lines[self.number]
        self.number += 1
        if len(line) * 4 > LONGEST_LINE and len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise DockerfileError(f"the line is longer than {LONGEST_LINE} bytes", self.number)
        return line if self.number == len(self._lines) else line + "\n"


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = _Lines(text.removeprefix("\ufeff"))
        self._directives = DirectiveReader()
        self._escape = "\\"
        self._comments: list[str] = []
        self._nodes: list[Node] = []

    def parse(self) -> SyntaxTree:
        while (line := self._lines.next()) is not None:
            self._top(line)
        if not self._nodes:
            raise DockerfileError("file with no instructions", max(1, self._lines.number))
        return SyntaxTree(
            nodes=tuple(self._nodes),
            escape=self._escape,
            directives=tuple(self._directives.directives),
        )

    def _top(self, line: str) -> None:
        """A line where no instruction is open: a comment, a directive, or an instruction's first."""
        text = line.rstrip("\r\n")
        stripped = text.lstrip(SPACE)
        is_directive = self._directive(stripped)
        if stripped.startswith("#"):
            if not is_directive:
                self._comment(text)
            return
        if stripped:
            self._instruction(stripped, len(text) - len(stripped) + 1)

    def _directive(self, text: str) -> bool:
        directive = self._directives.read(text)
        if directive is not None and directive.name == "escape":
            if directive.value not in ("\\", "`"):
                reason = f"invalid escape token '{directive.value}' does not match ` or \\"
                raise DockerfileError(reason, directive.line, 1, length=len(text))
            self._escape = directive.value
        return directive is not None

    def _comment(self, line: str) -> None:
        comment = line[1:].strip(SPACE)
        if comment:
            self._comments.append(comment)
        else:
            self._comments.clear()

    def _instruction(self, text: str, column: int) -> None:
        start = self._lines.number
        joined, segments, empty = self._join(text, column)
        try:
            node = _node(joined, self._escape, start, self._lines.number)
            node = msgspec.structs.replace(
                node, comments=tuple(self._comments), segments=segments, empty_continuation=empty
            )
            if heredocs := self._heredocs(node):
                node = msgspec.structs.replace(node, heredocs=heredocs, end_line=self._lines.number)
        except (ValueError, WordError) as error:
            raise DockerfileError(str(error), start, column, end_line=self._lines.number) from None
        self._comments.clear()
        self._nodes.append(node)

    def _join(self, text: str, column: int) -> tuple[str, tuple[Segment, ...], bool]:
        """The instruction that begins with `text`, with its continuations: what it is on one line, where
        the parts of that come from, and whether there was an empty line among them."""
        piece, goes_on = self._continued(text)
        segments = [Segment(0, self._lines.number, column)]
        if not goes_on:
            return piece, tuple(segments), False
        pieces = [piece]
        length = len(piece)
        empty = False
        while goes_on and (line := self._lines.next()) is not None:
            text = line.rstrip("\r\n")
            self._directive(text)
            stripped = text.lstrip(SPACE)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = True
                continue
            piece, goes_on = self._continued(text)
            pieces.append(piece)
            segments.append(Segment(length, self._lines.number, 1))
            length += len(piece)
        return "".join(pieces), tuple(segments), empty

    def _continued(self, text: str) -> tuple[str, bool]:
        """The line without the escape character at its end, and whether there was one. Two of them are no
        continuation (nor are three, as BuildKit has it)."""
        escape = self._escape
        shortened = text.rstrip(" \t")
        if not shortened.endswith(escape) or shortened.endswith(escape * 2):
            return text, False
        return shortened[:-1], True

    def _heredocs(self, node: Node) -> tuple[Heredoc, ...]:
        host = node.trigger or node
        if host.name not in _WITH_HEREDOCS or host.json or "<<" not in node.original:
            return ()
        return tuple(self._heredoc(heredoc, node) for heredoc in heredocs_in_line(node.original))

    def _heredoc(self, heredoc: Heredoc, node: Node) -> Heredoc:
        """With its content: the lines up to the one that is its name."""
        content: list[str] = []
        while (line := self._lines.next()) is not None:
            text = line.rstrip("\r\n")
            if heredoc.chomp:
                text = text.lstrip("\t")
            if text == heredoc.name:
                return msgspec.structs.replace(heredoc, content="".join(content))
            content.append(line)
        what = f"unterminated heredoc: no line is {heredoc.name!r} alone"
        raise error_at_offset(node, what, node.original.find("<<"), 2 + len(heredoc.name))


def _node(original: str, escape: str, start_line: int, end_line: int, depth: int = 0) -> Node:
    """What stands on one line. Raises ValueError with what is wrong."""
    command = split_command(original, escape)
    name = command.keyword.lower()
    arguments = Arguments(())
    trigger = None
    if name != "onbuild":
        arguments = parse_arguments(name, command.rest, escape)
    elif depth == _DEEPEST_TRIGGER:
        raise ValueError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    elif command.rest:
        trigger = _node(command.rest, escape, start_line, end_line, depth + 1)
    return Node(
        keyword=command.keyword,
        name=name,
        original=original,
        arguments=arguments.values,
        start_line=start_line,
        end_line=end_line,
        flags=command.flags,
        json=arguments.json,
        trigger=trigger,
    )
