"""What a build tells while it runs. Vertices are named by a digest of the plan's own, which is the same
for operations that concurrent builds share."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class VertexStarted(msgspec.Struct, frozen=True, tag="started", tag_field="type"):
    """`at` is in nanoseconds since 1970, here and below."""

    vertex: str
    name: str
    at: int
    stage: str = ""
    lines: tuple[int, int] = (0, 0)


class VertexLog(msgspec.Struct, frozen=True, tag="log", tag_field="type"):
    """Output of a RUN, as it came: `stream` is 1 or 2."""

    vertex: str
    stream: int
    data: bytes
    at: int


class VertexStatus(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    """A part of a vertex with a size: a layer that is fetched, a context that is read. Bytes, or things;
    `total` 0: unknown."""

    vertex: str
    id: str
    current: int
    total: int
    done: bool = False


class Miss(msgspec.Struct, frozen=True):
    """Why a vertex was not in the cache: `kind` is new, base, variable, file, command, mount, disabled,
    input or gone; `what` names it (a path, a variable, an image), `detail` says more, in words."""

    kind: str
    what: str = ""
    detail: str = ""


class VertexFinished(msgspec.Struct, frozen=True, tag="finished", tag_field="type"):
    """`cached`: it did not run. `misses` (asked for by --explain) say why it ran. `error` is one
    sentence."""

    vertex: str
    at: int
    cached: bool = False
    error: str = ""
    misses: tuple[Miss, ...] = ()


class Warning(msgspec.Struct, frozen=True, tag="warning", tag_field="type"):
    """A build check that failed: `rule` is BuildKit's name for it, `lines` from 1."""

    rule: str
    message: str
    detail: str = ""
    url: str = ""
    lines: tuple[int, int] = (0, 0)


Event = VertexStarted | VertexLog | VertexStatus | VertexFinished | Warning

Report = Callable[[Event], None]
"""Called on the event loop, in order; must not block."""
