"""What the solver needs of others, and gives them: who fetches images, opens contexts, holds secrets and
runs processes. Files are copied by `build.files.model.LayerWriter`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from corten.build.context.model import SourceTree
from corten.build.graph import Exec, GitSource, HttpSource, ImageSource, LayoutSource, LocalSource
from corten.build.solve.result import BuiltLayer, Result

Log = Callable[[int, bytes], None]
"""(1 for stdout or 2 for stderr, what was written). On the event loop; must not block."""

Status = Callable[[str, int, int, bool], None]
"""(id, done, total, complete), as in `progress.VertexStatus`. On the event loop."""


class Sources(Protocol):
    """The contexts of one build: made for it, closed by who made it (with the trees that were opened)."""

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        """What is certain to change when anything in the source does: a commit, a checksum. Empty where
        only the contents tell (local directories). Should not fetch what it can do without."""
        ...

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        """The source, fetched; open until the build ends. NotFound and the like."""
        ...


class Images(Protocol):
    """Base images, and layers of imported caches."""

    async def layers(self, source: ImageSource | LayoutSource) -> tuple[BuiltLayer, ...]:
        """The layers, bottom first, from the manifest and config alone: no layer is fetched."""
        ...

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """Makes `layers` (a chain from the bottom, none made here) mountable. The caller has pinned them.
        Several builds may ask for the same ones at once."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A layer in the making: `directory`, which is empty, is on the layers' file system and is removed when
    nothing comes of it. It becomes a layer's directory: `fs/`, which is then overlay's lower directory as it
    is (whiteouts as overlay has them), or `layer.erofs` and perhaps `layer.tar`."""

    id: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was made in a draft. `size`: the sum of the files' sizes; `inodes`: how many. `diff_id`
    (`sha256:…`) and `tar_size` when `layer.tar` is the layer as it goes into an image."""

    size: int
    inodes: int
    diff_id: str = ""
    tar_size: int = 0


class Secrets(Protocol):
    """The client's secrets and agents, for one build."""

    async def read(self, id: str) -> bytes | None:
        """A secret; None when the client has none of that name."""
        ...

    async def agent(self, id: str) -> str | None:
        """The path of the socket on which the client's ssh agent `id` listens; None when there is none."""
        ...


class MountFiller(Protocol):
    """Cache mounts that other machines have exported, for one build: `build/cache_transfer`."""

    async def fill(self, id: str, directory: int) -> bool:
        """Called when a cache mount is about to be used that is new here and empty: `directory` is a
        descriptor of it. False when nothing was imported. After a failure it may hold a part."""
        ...


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """One RUN. `root`: what it changes; `binds`: the file systems of bind mounts, and what cache mounts begin
    as, by their position in `operation.mounts`. All are mountable, and pinned. `name` is for messages,
    `epoch` as of the vertex. `allowed`: entitlements (`security.insecure`, `network.host`, `device`,
    `device=NAME`). `filler`: what cache mounts that are new may begin as."""

    operation: Exec
    name: str
    root: Result
    binds: Mapping[int, Result]
    epoch: int | None
    secrets: Secrets
    allowed: frozenset[str] = frozenset()
    filler: MountFiller | None = None


Resize = Callable[[int, int], Awaitable[None]]
"""Tells a terminal how many rows and columns it has now."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A client's socket, on which an interactive process is spoken with: raw bytes in both directions, of a
    terminal that the process gets (`tty`), or framed as Docker does. `fd` stays the caller's. `started` is
    called when the process runs."""

    fd: int
    tty: bool = True
    rows: int = 0
    columns: int = 0
    started: Callable[[Resize], None] = lambda resize: None


class Executor(Protocol):
    """Runs processes in containers: `engine/build_executor.py`. `tests/contract/test_build_executor.py`
    holds it to this."""

    async def run(self, request: ExecRequest, draft: Draft, log: Log) -> Drafted:
        """Returns when the process and all it has started are gone, with the changes in `draft`.

        Raises ProcessFailed for an exit code other than 0; Denied for what `allowed` does not hold. A
        cancelled call kills everything first, and leaves nothing but cache mounts.
        """
        ...

    async def debug(self, request: ExecRequest, draft: Draft, args: Sequence[str], terminal: Terminal) -> int:
        """Runs `args` where `run` would run its process, with the same mounts; the exit code. What it
        changes is thrown away with the draft."""
        ...

    async def recover(self) -> None:
        """Once at start: ends what a killed engine has left running."""
        ...

    async def close(self) -> None:
        """Waits until nothing is left of the last processes. None may be running."""
        ...
