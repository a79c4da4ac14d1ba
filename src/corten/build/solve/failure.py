"""How a build ends when it does not end well."""

from __future__ import annotations

from collections.abc import Sequence

from corten.build.graph import Vertex
from corten.errors import CortenError


class ProcessFailed(CortenError):
    """A RUN's process ended with an exit code other than 0. `oom_killed`: the kernel killed one of its
    processes for want of memory."""

    def __init__(self, message: str, *, exit_code: int, oom_killed: bool = False) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.oom_killed = oom_killed


class LayersLost(CortenError):
    """Layers that an imported cache has named cannot be had there (any more). `layers` are their ids: what
    needs them has to run."""

    def __init__(self, message: str, layers: Sequence[str]) -> None:
        super().__init__(message)
        self.layers = tuple(layers)


class BuildFailed(CortenError):
    """A vertex could not be solved. `cause` is what went wrong there; the message is its. When a RUN failed
    and the build was asked to keep it, `Solver.debug` can go there (`vertex`), until `Solver.forget`."""

    def __init__(self, vertex: Vertex, cause: CortenError) -> None:
        super().__init__(cause.message)
        self.vertex = vertex
        self.cause = cause
