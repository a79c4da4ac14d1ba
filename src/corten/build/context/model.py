"""What the sources of files are to their callers.

The solver opens a `SourceTree` for each input of a file operation, asks `digest_selection` for the content
key of what an action would copy, and gives the same trees to `files.writer.LayerWriter`. Everything here
blocks: call it in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from corten.build.graph import Copy

Stop = Callable[[], None]
"""Called again and again during long work: raises what ends it (the build was cancelled)."""


class ContentCache(Protocol):
    """Digests of files' contents that are known from earlier; thread-safe."""

    def find(self, key: bytes) -> bytes | None:
        """The digest of the file with this stat key (see `seen_file.stat_key`), 32 bytes."""
        ...

    def add(self, key: bytes, digest: bytes, seen_ns: int) -> None:
        """Notes the digest of a file with this key that was read at `seen_ns` (since 1970) or later; not when
        it had changed so shortly before that another change could leave no trace."""
        ...


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A directory tree that files are copied from.

    `root` is a descriptor of its directory; nothing outside can be reached. `name` stands in messages ("the
    build context", "stage build"). What `ignore` (the lines of a .dockerignore) excludes does not exist.
    `keep_owners`: of layers; contexts have none, everything in them is root's, as the Dockerfile reference
    promises. `contents` remembers digests.
    """

    root: int
    name: str
    ignore: tuple[str, ...] = ()
    keep_owners: bool = False
    contents: ContentCache | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What an action copies, named by its content: names, types, modes, owners, contents, targets of links,
    attributes; never times.

    `digest` (`sha256:…`) is that of `manifest`: records of which `manifest.differences` tells what changed
    between two of them. `files` and `size` (bytes of regular files) are for people. As names are in it,
    neither `Copy.source` nor its patterns need be in a cache key beside it.
    """

    digest: str
    manifest: bytes
    files: int
    size: int


class DigestSelection(Protocol):
    """`selection_digest.digest_selection`."""

    def __call__(self, tree: SourceTree, copy: Copy, *, stop: Stop | None = None) -> Selection:
        """The content of what `copy` would take from `tree`; files whose digests are known are not opened.

        NotFound for a source that is not there; InvalidArgument for patterns that are none; Conflict, which
        names the file, when one changed while it was read.
        """
        ...
