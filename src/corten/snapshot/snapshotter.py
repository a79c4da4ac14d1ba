"""What every way of making layers mountable must do; `tests/contract/test_snapshotter.py` holds them to
it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from corten.oci.digest import Digest

if TYPE_CHECKING:  # every worker imports this: it begins sooner without
    from concurrent.futures import Future

    from corten.snapshot.growing import Growing


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer to prepare. `blob` is the path of its (compressed or plain) tar; `verified` says that the
    blob's own digest was checked already, so that a plain tar whose digest is `diff_id` needs no second
    hash. With `growing`, the blob is being written while the layer is made (and verified by its writer)."""

    chain_id: str
    diff_id: str
    blob: str
    digest: str = ""
    verified: bool = False
    growing: Growing | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes at `offset` of the regular file that is open as `fd`."""

    fd: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A layer that was made in `directory`, and is not in its place; `answer` is the worker's."""

    directory: Path
    answer: dict[str, Any]
    diff_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A blob that was stored, and the layer that it is; `staged` has an ArchiveError when it is none."""

    digest: Digest
    staged: Future[Staged]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snapshot takes on disk. `size` is the sum of its files' apparent sizes, as Docker counts."""

    size: int
    inodes: int


Progress = Callable[[str, int, int], None]
"""(chain ID or digest, bytes of the blob done, bytes of the blob in all), and (chain ID, 0, 0) when that
layer is in its place; called from worker threads."""


class Session(Protocol):
    """The work on one image's layers; ended by leaving its context."""

    def stage(self, growing: Growing) -> Future[Staged]:
        """Begins to work on a blob before its place in a chain, or even its digest, is known; tell that by
        `found`."""
        ...

    def take_in(self, part: Part, target: Path, algorithm: str, progress: Progress | None) -> Future[Taken]:
        """As `stage`, for a blob in a file, which is stored in the new file `target` at the same time, and
        hashed by `algorithm`. `part.fd` is one of the session's `fds`."""
        ...

    def found(self, digest: str, staged: Future[Staged]) -> None:
        """What is staged is the layer of the blob `digest`: `prepare` takes it for that. IntegrityError is
        raised by `prepare`, when its diff ID is another."""
        ...

    def prepare(self, layers: Sequence[Layer], progress: Progress | None = None) -> None:
        """See Snapshotter.prepare."""
        ...


class Snapshotter(Protocol):
    """Layers as read-only trees, one per chain ID. Thread-safe; two callers preparing the same layer: one
    wins."""

    name: str

    def session(self, *, fds: Sequence[int] = ()) -> AbstractContextManager[Session]:
        """For the layers of one image; what was staged and not prepared is thrown away at its end. `fds` are
        open files for `Session.take_in`."""
        ...

    def prepare(self, layers: Sequence[Layer], progress: Progress | None = None) -> None:
        """Makes all `layers` of one chain (bottom first) mountable; those that are so already are left alone.

        Layers are unpacked side by side. Raises IntegrityError for a wrong diff ID, ArchiveError for a bad
        tar, NoSpace; what was complete before stays, nothing half-made does.
        """
        ...

    def contains(self, chain_id: str) -> bool:
        """Whether this layer is ready."""
        ...

    def lowers(self, chain: Sequence[str]) -> tuple[str, ...]:
        """The directories of a chain (given bottom first), topmost first, as overlay's lowerdir wants them.
        NotFound."""
        ...

    def usage(self, chain_id: str) -> Usage:
        """What one layer takes on disk. NotFound."""
        ...

    def set_aside(self, chain_id: str) -> Path:
        """Takes one layer away in a moment, to a directory that the caller then deletes (`tree.remove_tree`);
        it is empty when the layer is not there. What a killed process leaves of it `recover` removes."""
        ...

    def remove(self, chain_id: str) -> None:
        """Removes one layer; nothing happens when it is not there."""
        ...

    def walk(self) -> Iterable[str]:
        """The chain IDs of all layers that are ready."""
        ...

    def recover(self) -> None:
        """Removes what a killed process left half-made, and layers that a power failure may have torn."""
        ...

    def close(self) -> None:
        """Lets go of what it holds of the layers (mounts); containers that run keep theirs."""
        ...

    def settle(self) -> None:
        """Makes what was prepared since the last call durable on disk (may take seconds; call it when
        idle)."""
        ...
