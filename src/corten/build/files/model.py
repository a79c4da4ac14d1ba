"""What a file operation yields.

The solver's way through COPY: `digest_selection` of each action for the content key; on a miss, `write`. When
no record could match whatever the content is (nothing of this definition was ever built), `write` comes
first, and the content's digest is in what it returns: so each file is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from corten.build.context.model import Selection, SourceTree, Stop
from corten.build.graph import FileOperation


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer in the directory that was given to `write`: what a snapshotter has for a layer (`layer.erofs`
    and `layer.tar`, or `fs/` and `layer.tar`); not fsynced.

    `diff_id` (`sha256:…`) and `tar_size` are those of `layer.tar`, the layer as it goes into an image. `size`
    and `inodes` count as `snapshot.Usage` does. `selections` are those of the operation's Copy actions, in
    order. `notes` are remarks for the user.
    """

    diff_id: str
    tar_size: int
    size: int
    inodes: int
    selections: tuple[Selection, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NothingWritten:
    """The file system has all of it already (a WORKDIR that is there): there is no layer."""

    selections: tuple[Selection, ...]


class LayerWriter(Protocol):
    """`writer.FileLayerWriter`. Blocks; thread-safe."""

    def write(
        self,
        operation: FileOperation,
        inputs: Sequence[SourceTree | None],
        target: Path,
        *,
        epoch: int | None,
        stop: Stop | None = None,
    ) -> WrittenLayer | NothingWritten:
        """Makes the layer of `operation` in the empty directory `target`. `inputs` are the vertex's: the
        first is the file system that the layer comes over (a view of its layers; None: scratch). `epoch`:
        what the layer's times become (seconds).

        NotFound, InvalidArgument, Conflict (as `digest_selection`), ArchiveError for a bad archive, NoSpace.
        After an error `target` is as good as empty: the caller removes it.
        """
        ...
