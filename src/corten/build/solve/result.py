"""What running a vertex yields: a file system as a chain of layers. What exporters work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from corten.build.graph import Vertex
from corten.oci.descriptor import Descriptor


class BuiltLayer(msgspec.Struct, frozen=True):
    """One layer. `id` names its lower directory for `LayerStore.lowers`; two kinds:

    - an image's (or an imported cache's): `id` is its chain ID (`sha256:…`); `diff_id` and `blob` are what
      its manifest says, untouched; `origin` is where the blob can be fetched from (a canonical reference,
      `oci-layout:<name>`, or `cache:<place>`). The layer itself may not be here yet.
    - made by a build: `id` is 64 hexadecimal digits; the layer is here. `diff_id` and `blob` (a plain tar)
      are empty until somebody has made the tar: `LayerStore.describe` gives what is known by now.

    `made_by` is the key (`Solved.key`) of the vertex that made it; empty for a base image's.
    """

    id: str
    diff_id: str = ""
    blob: Descriptor | None = None
    origin: str = ""
    made_by: str = ""

    @property
    def is_made_here(self) -> bool:
        """Whether it is in the LayerStore, and not an image's or an imported one."""
        return ":" not in self.id

    @property
    def is_in_registry(self) -> bool:
        """Whether `origin` is a reference: a repository that has the blob."""
        return bool(self.origin) and not self.origin.startswith(("oci-layout:", "cache:"))


class Result(msgspec.Struct, frozen=True):
    """A file system: its layers, the bottom first. None at all is scratch."""

    layers: tuple[BuiltLayer, ...] = ()


SCRATCH = Result()


class Solved(msgspec.Struct, frozen=True):
    """What is known of a vertex. `key` (`sha256:…`) is what the cache knows it by, the same on every
    machine with the same inputs; `partial` is its key without the contents that it takes from elsewhere
    (`keys.partial_key`; empty for sources and merges). `result` is None when nobody needed it and the cache
    does not have it any more. `cached`: it did not run in this build."""

    key: str
    partial: str
    result: Result | None
    cached: bool


class Results:
    """What `Solver.solve` has found. Its layers cannot be pruned until `close` (a context manager)."""

    def __init__(self, solved: Mapping[Vertex, Solved], release: Iterable[Callable[[], None]]) -> None:
        self._solved = dict(solved)
        self._release = list(release)

    def __getitem__(self, vertex: Vertex) -> Solved:
        """A target, or a vertex below one."""
        return self._solved[vertex]

    def __contains__(self, vertex: Vertex) -> bool:
        return vertex in self._solved

    def items(self) -> Iterable[tuple[Vertex, Solved]]:
        """Every vertex that was looked at, inputs before what uses them."""
        return self._solved.items()

    def result(self, target: Vertex | None) -> Result:
        """The file system of a target; None is scratch."""
        found = SCRATCH if target is None else self._solved[target].result
        assert found is not None
        return found

    def layer(self, target: Vertex, vertex: Vertex) -> BuiltLayer | None:
        """The layer of `target`'s file system that `vertex`, which lies below it (or is it), has made; None
        when it made none (a WORKDIR that was there)."""
        key = self._solved[vertex].key
        return next((layer for layer in self.result(target).layers if layer.made_by == key), None)

    def close(self) -> None:
        """Lets go of the layers."""
        release, self._release = self._release, []
        for call in release:
            call()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
