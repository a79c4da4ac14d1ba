"""File systems as stacks: what a vertex is built upon."""

from __future__ import annotations

from collections.abc import Sequence

from corten.build.graph import Merge, Vertex
from corten.build.solve.result import BuiltLayer, Result


def base_of(vertex: Vertex) -> Vertex | None:
    """The vertex whose file system this one changes."""
    return vertex.inputs[0] if vertex.inputs else None


def stacked(parts: Sequence[Result | None]) -> Result | None:
    """File systems one over the other; None when one is not known."""
    layers: list[BuiltLayer] = []
    for part in parts:
        if part is None:
            return None
        layers += part.layers
    return Result(tuple(layers))


def stacks(targets: Sequence[Vertex]) -> set[Vertex]:
    """The vertices whose layers the targets' file systems are made of."""
    found: set[Vertex] = set()
    pending = list(targets)
    while pending:
        vertex = pending.pop()
        if vertex not in found:
            found.add(vertex)
            parts = vertex.inputs if isinstance(vertex.operation, Merge) else vertex.inputs[:1]
            pending += [part for part in parts if part is not None]
    return found
