"""The syntax tree of a Dockerfile: one node for each instruction, in the order of the file.

Lines and columns count from 1; columns count characters, not bytes.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec


class Position(msgspec.Struct, frozen=True, order=True):
    line: int
    column: int


class Heredoc(msgspec.Struct, frozen=True):
    """A here-document: `<<NAME`. `content` ends with its last line's own ending and is kept as it stands
    in the file; `chomp` (`<<-`) says that tabs at the start of its lines are to go, `expand` that no part
    of the name was quoted. `descriptor` is the number before `<<`, 0 where there is none."""

    name: str
    descriptor: int
    expand: bool
    chomp: bool
    content: str


class Segment(msgspec.Struct, frozen=True):
    """From `offset` on, the characters of a node's `original` stand in the file at `line` and `column`."""

    offset: int
    line: int
    column: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction.

    `keyword` is as written, `name` in lower case. `original` is the whole instruction on one line, without
    its continuations and the comments between them. `flags` still have their dashes (`--from=x`; quotes
    are gone). What `arguments` holds depends on the instruction:

    - ENV, LABEL: name, value and separator (`=`; empty for the legacy form `ENV name value`) in turns,
      with their quotes;
    - ARG: words with their quotes;
    - JSON form (`json` is true): the strings of the array;
    - RUN, CMD, ENTRYPOINT, SHELL, USER, WORKDIR, STOPSIGNAL, MAINTAINER: all of the line as one, if any;
    - HEALTHCHECK: its type as written, then as CMD;
    - ADD, COPY, VOLUME, EXPOSE, FROM: words, split at white space, quotes and all;
    - ONBUILD: nothing: `trigger` is the node of its instruction;
    - what is no instruction: one empty string.

    `comments` are those directly above, without their `#` and without directives; an empty comment
    begins anew. `empty_continuation` says that a line of white space stood among the continuations.
    """

    keyword: str
    name: str
    original: str
    arguments: tuple[str, ...]
    start_line: int
    end_line: int
    flags: tuple[str, ...] = ()
    json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    trigger: Node | None = None
    empty_continuation: bool = False
    segments: tuple[Segment, ...] = ()

    def position(self, offset: int = 0) -> Position:
        """Where in the file the character `offset` of `original` stands."""
        found = bisect_right(self.segments, offset, key=lambda segment: segment.offset) - 1
        if found < 0:
            return Position(self.start_line, 1)
        segment = self.segments[found]
        return Position(segment.line, segment.column + offset - segment.offset)

    def find(self, text: str) -> Position:
        """Where `text` stands first; where it does not (quotes were removed), where the node begins."""
        offset = self.original.find(text)
        return self.position(max(offset, 0))


class Directive(msgspec.Struct, frozen=True):
    """A parser directive: `# name=value` at the top of the file; `name` is in lower case. `value` may end
    in a remark: `word` is what counts of `syntax` and `check`."""

    name: str
    value: str
    line: int

    @property
    def word(self) -> str:
        return self.value.partition(" ")[0]


class SyntaxTree(msgspec.Struct, frozen=True, kw_only=True):
    """`start_line` and `end_line` are those of the first and the last instruction; `escape` is the escape
    character, a backslash or a backtick."""

    nodes: tuple[Node, ...]
    escape: str
    directives: tuple[Directive, ...] = ()

    @property
    def start_line(self) -> int:
        return self.nodes[0].start_line

    @property
    def end_line(self) -> int:
        return self.nodes[-1].end_line
