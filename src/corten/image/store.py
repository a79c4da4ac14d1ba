"""The images of one engine: names, configs and layers, tied together in SQLite over content and snapshots."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from corten.content import ContentStore
from corten.image.model import (
    Commit,
    DiskUsage,
    Filters,
    HistoryItem,
    Image,
    Loaded,
    NoUsers,
    Pruned,
    Removed,
    Report,
    Users,
    silent,
)
from corten.oci.platform import Platform
from corten.snapshot.snapshotter import Snapshotter


class ByteSource(Protocol):
    """What archives are read from."""

    def read(self, size: int, /) -> bytes: ...


class ByteSink(Protocol):
    """What archives are written to."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class ImageStore:
    """All methods block (call them in a thread where they are marked "slow") and are thread-safe."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        content: ContentStore,
        snapshotter: Snapshotter,
        *,
        users: Users | None = None,
        platform: Platform | None = None,
    ) -> None:
        self.users: Users = users or NoUsers()
        raise NotImplementedError

    def recover(self) -> None:
        """Call once at start: cleans up after a killed engine, rewrites index.json, collects garbage."""
        raise NotImplementedError

    def resolve(self, name: str) -> Image:
        """The image that a reference, a full ID, an ID prefix or `name@digest` means. NotFound ("No such image: x"),
        InvalidArgument, Conflict for an ambiguous prefix."""
        raise NotImplementedError

    def of_container(self, image_id: str) -> Image:
        """An image by its full ID, even when it was removed by force while a container still uses it."""
        raise NotImplementedError

    def lowers(self, image: Image) -> tuple[str, ...]:
        """The image's layer directories, topmost first; unpacks what is missing (slow only then)."""
        raise NotImplementedError

    def list(self, filters: Filters | None = None, *, all: bool = False) -> list[Image]:
        """Newest first. Filters: dangling, label, reference, before, since, until. Untagged parents only with `all`."""
        raise NotImplementedError

    def tag(self, name: str, repository: str, tag: str = "") -> Image:
        """Gives an image another name, taking it from whoever has it."""
        raise NotImplementedError

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[Removed]:
        """Untags or deletes, by Docker's rules; Conflict when containers or several repositories use it. Slow."""
        raise NotImplementedError

    def prune(self, *, all: bool = False, filters: Filters | None = None) -> Pruned:
        """Removes dangling images (with `all`, or the filter dangling=false: every unused one). Slow."""
        raise NotImplementedError

    def load(
        self, stream: ByteSource, *, platform: Platform | None = None, report: Report = silent
    ) -> list[Loaded]:
        """Reads a docker-archive, OCI archive (plain, gzip or zstd) from `stream`. Slow."""
        raise NotImplementedError

    def load_directory(
        self, path: str, *, platform: Platform | None = None, report: Report = silent
    ) -> list[Loaded]:
        """Reads an OCI layout directory. Slow."""
        raise NotImplementedError

    def save(self, names: Sequence[str], stream: ByteSink, *, format: str = "docker-archive") -> None:
        """Writes images as a docker-archive that is an OCI layout as well (what Docker 25+ writes), or `oci-archive`. Slow."""
        raise NotImplementedError

    def import_(
        self,
        stream: ByteSource,
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: Platform | None = None,
        report: Report = silent,
    ) -> Loaded:
        """Makes an image of one layer from a root file system's tar. Slow."""
        raise NotImplementedError

    def commit(self, commit: Commit) -> Image:
        """Makes an image of a container's upper directory over its parent image. Slow."""
        raise NotImplementedError

    def history(self, name: str) -> list[HistoryItem]:
        """Newest first."""
        raise NotImplementedError

    def disk_usage(self) -> DiskUsage:
        """For `system df`."""
        raise NotImplementedError

    def collect(self) -> int:
        """Removes blobs and snapshots that no image needs; returns bytes. Slow."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives up the store's own database connection."""
        raise NotImplementedError


def open_stream(path: str) -> BinaryIO:
    """A file to `load` or `import_` from."""
    return open(path, "rb", buffering=0)  # noqa: PTH123, SIM115
