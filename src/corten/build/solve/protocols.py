"""What the solver needs of others, and gives them: who fetches images, reads contexts, copies files and
runs processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from corten.build.graph import (
    Copy,
    Exec,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
)
from corten.build.solve.result import BuiltLayer, Result
from corten.oci.descriptor import Descriptor

Log = Callable[[int, bytes], None]
"""(1 for stdout or 2 for stderr, what was written). On the event loop; must not block."""

Status = Callable[[str, int, int, bool], None]
"""(id, done, total, complete), as in `progress.VertexStatus`. On the event loop, or from a thread."""


class SourceTree(Protocol):
    """What a source that is no image has: files to copy from. Known to `Sources` and `FileWorker` only."""


class Sources(Protocol):
    """The contexts of one build: made for it, closed by who made it."""

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        """What is certain to change when anything in the source does: a commit, a checksum. Empty where
        only the contents tell (local directories). Should not fetch what it can do without."""
        ...

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        """The source, fetched. Called once for each vertex; NotFound and the like."""
        ...


class Images(Protocol):
    """Base images, and layers of imported caches."""

    async def layers(self, source: ImageSource | LayoutSource) -> tuple[BuiltLayer, ...]:
        """The layers, bottom first, from the manifest and config alone: no layer is fetched."""
        ...

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """Makes the image's layers among `layers` (a chain from the bottom) mountable. The caller has pinned
        them. Called by several builds at once for the same ones."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What a Copy or bind mount takes. `digest` (`sha256:…`): of names, modes, owners, contents, links and
    xattrs, never times. `entries` lists (path, a short digest) of each file, for --explain; called at most
    once, only when it is needed."""

    digest: str
    entries: Callable[[], Iterable[tuple[str, str]]] = field(default=tuple)


class Draft(Protocol):
    """A layer in the making. Whoever works on it fills `directory`, which is empty and on the layers' file
    system, with either

    - `fs/`, the directory that is overlay's lower one, whiteouts as overlay's; or
    - `layer.erofs` (and `layer.tar`, when contents lie there), and the empty directory `mnt/`

    and says what it is with `complete`. If it does not, the draft is thrown away."""

    id: str
    directory: Path

    def complete(self, *, size: int, inodes: int, diff_id: str = "", blob: Descriptor | None = None) -> None:
        """`size`: the sum of the files' sizes; `inodes`: how many. `diff_id` and `blob` when the plain tar
        was made along with it and is in the content store, pinned by the caller until `solve` has
        returned."""
        ...


class FileWorker(Protocol):
    """Copies and makes files: `build/files`."""

    async def select(self, copy: Copy, source: SourceTree | Result) -> Selection:
        """What `copy` takes from `source` (a Result is here and mountable: `LayerStore.lowers`). NotFound
        when there is no such file and it must exist."""
        ...

    async def select_path(self, path: str, source: Result) -> Selection:
        """What a bind mount of `path` shows; NotFound."""
        ...

    async def run(
        self,
        operation: FileOperation,
        inputs: Sequence[SourceTree | Result | None],
        draft: Draft,
        epoch: int | None,
    ) -> None:
        """All actions, as one layer over `inputs[0]` (None: nothing). A cancelled call leaves no process."""
        ...


class Secrets(Protocol):
    """The client's secrets and agents, for one build."""

    async def read(self, id: str) -> bytes | None:
        """A secret; None when the client has none of that name."""
        ...

    async def agent(self, id: str) -> str | None:
        """The path of the socket on which the client's ssh agent `id` listens; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """One RUN. `root`: what it changes; `binds`: the file systems of `operation.mounts`, by input. All are
    mountable. `draft` gets the changes as `fs/`. `name` is for messages, `epoch` as of the vertex.
    `allowed`: entitlements (`security.insecure`, `network.host`)."""

    operation: Exec
    name: str
    root: Result
    binds: Mapping[int, Result]
    draft: Draft
    epoch: int | None
    secrets: Secrets
    allowed: frozenset[str] = frozenset()


class Executor(Protocol):
    """Runs processes in containers: `engine/build_executor.py`; `tests/contract/test_build_executor.py`
    holds it to this."""

    async def run(self, request: ExecRequest, log: Log) -> None:
        """Returns when the process and all it has started are gone, `draft` is filled and complete.

        Raises ProcessFailed for an exit code other than 0; Denied for what `allowed` does not hold. A
        cancelled call kills everything first, and leaves nothing but cache mounts.
        """
        ...

    async def recover(self) -> None:
        """Once at start: ends what a killed engine has left running."""
        ...
