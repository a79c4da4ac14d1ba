"""Makes vertices: operations that are the same become one, whichever stage or platform they stand in."""

from __future__ import annotations

import re

from corten.build.graph import GitSource, HttpSource, LayoutSource, LocalSource, Operation, Vertex
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import error_at
from corten.build.parser.syntax_tree import Node
from corten.build.parser.white_space import replace_invalid
from corten.build.plan import paths
from corten.build.source_policy.sources import SourcePolicy

_LONGEST_NAME = 2000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class VertexTable:
    """The vertices of one build. What does the same to the same is the same vertex, as long as it is to be
    cached alike and gives its files the same times; its name is that of the first."""

    def __init__(self, policy: SourcePolicy | None = None) -> None:
        self._policy = policy or SourcePolicy()
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
        """Sources are those that the policy has for them. Denied, InvalidArgument, Unsupported."""
        if isinstance(operation, LocalSource | HttpSource | GitSource | LayoutSource):
            operation, changed = self._policy.source(operation)
            name += f" (source policy: {changed})" if changed else ""
        key = (operation, tuple([id(vertex) for vertex in inputs]), ignore_cache, epoch)
        found = self._known.get(key)
        if found is None:
            found = Vertex(operation, inputs, shown(name), stage, lines, ignore_cache, epoch)
            self._known[key] = found
        return found


class Inputs:
    """The inputs of a vertex behind the first, each once, in the order in which they are needed."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self.vertices: list[Vertex | None] = []

    def place(self, vertex: Vertex | None) -> int:
        """The number by which an operation means `vertex`."""
        found = self._places.setdefault(id(vertex), len(self.vertices) + 1)
        if found > len(self.vertices):
            self.vertices.append(vertex)
        return found


def heredoc_file(node: Node, name: str) -> str:
    """What the file of a here-document is called. A name with slashes in it stays below the directory that
    it is put into. Raises DockerfileError where nothing is left."""
    file = paths.base(paths.absolute("/", name))
    if file == "/":
        raise error_at(node, f"a here-document cannot be the file {quoted(name)}", name)
    return file


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
