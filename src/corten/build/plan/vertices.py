"""Makes vertices: operations that are the same become one, whichever stage or platform they stand in."""

from __future__ import annotations

import re

from corten.build.graph import Operation, Vertex
from corten.build.parser.white_space import replace_invalid

_LONGEST_NAME = 2000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class VertexTable:
    """The vertices of one build. What does the same to the same is the same vertex, as long as it is to be
    cached alike and gives its files the same times; its name is that of the first."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Vertex] = {}

    def make(
        self,
        operation: Operation,
        inputs: tuple[Vertex | None, ...] = (),
        *,
        name: str,
        stage: str = "",
        lines: tuple[int, int] = (0, 0),
        ignore_cache: bool = False,
        epoch: int | None = None,
    ) -> Vertex:
        key = (operation, tuple([id(vertex) for vertex in inputs]), ignore_cache, epoch)
        found = self._known.get(key)
        if found is None:
            found = Vertex(operation, inputs, shown(name), stage, lines, ignore_cache, epoch)
            self._known[key] = found
        return found


def shown(name: str) -> str:
    """A name that does a terminal no harm, can be written as UTF-8, and has an end."""
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + "…"
    return _CONTROL.sub("\ufffd", replace_invalid(name))


def heredoc_summary(text: str) -> str:
    """A here-document's first line."""
    first, more, _ = text.strip().replace("\r\n", "\n").partition("\n")
    return first + ("..." if more else "")


def with_upper_keyword(text: str) -> str:
    """The first word in upper case."""
    keyword, space, rest = text.partition(" ")
    return keyword.upper() + space + rest
