"""What running a vertex yields: a file system as a chain of layers. What exporters work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from corten.build.graph import Exec, FileOperation, Merge, Vertex
from corten.oci.descriptor import Descriptor


class BuiltLayer(msgspec.Struct, frozen=True):
    """One layer. `id` names its lower directory for `LayerStore.lowers`; two kinds:

    - an image's (or an imported cache's): `id` is its chain ID (`sha256:…`); `diff_id` and `blob` are what
      its manifest says, untouched; `origin` is where the blob can be fetched from (a canonical reference,
      or `oci-layout:<name>`). The layer itself may not be here yet.
    - made by a build: `id` is 32 hexadecimal digits; the layer is here. `diff_id` and `blob` (a plain tar)
      are empty until an exporter has made the tar: `LayerStore.describe` gives what is known by now.
    """

    id: str
    diff_id: str = ""
    blob: Descriptor | None = None
    origin: str = ""

    @property
    def is_made_here(self) -> bool:
        """Whether it is in the LayerStore, and not an image's or an imported one."""
        return ":" not in self.id


class Result(msgspec.Struct, frozen=True):
    """A file system: its layers, the bottom first. None at all is scratch."""

    layers: tuple[BuiltLayer, ...] = ()


SCRATCH = Result()


class Solved(msgspec.Struct, frozen=True):
    """A vertex that has its result. `key` (`sha256:…`) is what the cache knows it by, the same on every
    machine with the same inputs; `cached`: it did not run in this build."""

    result: Result
    key: str
    cached: bool


class Results:
    """What `Solver.solve` has found. Its layers cannot be pruned until `close` (a context manager)."""

    def __init__(self, solved: Mapping[Vertex, Solved], release: Iterable[Callable[[], None]]) -> None:
        self._solved = dict(solved)
        self._release = list(release)

    def __getitem__(self, vertex: Vertex) -> Solved:
        """A target, or a vertex below one that had to be looked at; KeyError for one that nobody needed."""
        return self._solved[vertex]

    def __contains__(self, vertex: Vertex) -> bool:
        return vertex in self._solved

    def items(self) -> Iterable[tuple[Vertex, Solved]]:
        """Every vertex that was looked at, inputs before what uses them."""
        return self._solved.items()

    def result(self, target: Vertex | None) -> Result:
        """The file system of a target; None is scratch."""
        return SCRATCH if target is None else self._solved[target].result

    def layer(self, target: Vertex, vertex: Vertex) -> BuiltLayer | None:
        """The layer that `vertex`, which lies below `target` (or is it), has made of `target`'s; None for a
        vertex that makes none, or that is elsewhere in the graph."""
        return layers_of(target, self._solved[target].result).get(vertex)

    def close(self) -> None:
        """Lets go of the layers."""
        release, self._release = self._release, []
        for call in release:
            call()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def layers_of(target: Vertex, result: Result) -> dict[Vertex, BuiltLayer]:
    """Which layer of `result` (that of `target`) each vertex has made: they lie in the order in which the
    graph stacks them, whether they were made in this build or found."""
    made: dict[Vertex, BuiltLayer] = {}
    left = list(result.layers)
    pending: list[Vertex | None] = [target]
    while pending:
        vertex = pending.pop()
        if vertex is None:
            continue
        if isinstance(vertex.operation, Merge):
            pending += vertex.inputs  # the last is on top, and is taken next
        elif isinstance(vertex.operation, FileOperation | Exec):
            made[vertex] = left.pop()
            pending.append(vertex.inputs[0])
    return made
