"""`docker cp` and `export`: tars out of and into a container's tree, with every link resolved beneath its root.

All functions take `root_fd`: a directory descriptor of the container's root (`/proc/<pid>/root` of a running one,
the mounted overlay inside `snapshot.view` for a stopped one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PathStat:
    """What the header X-Docker-Container-Path-Stat says. `mode` is Go's os.FileMode; `mtime` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


Write = Callable[[bytes | memoryview], object]
Read = Callable[[int], bytes]


def stat_path(root_fd: int, path: str) -> PathStat:
    """What is at `path`; NotFound."""
    raise NotImplementedError


def pack_path(root_fd: int, path: str, write: Write) -> PathStat:
    """Writes a tar of `path` (its last component names the entries; `/.` at the end means the contents); NotFound."""
    raise NotImplementedError


def pack_tree(root_fd: int, write: Write) -> None:
    """Writes a tar of everything (`export`)."""
    raise NotImplementedError


def unpack_path(
    root_fd: int,
    path: str,
    read: Read,
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Unpacks a tar into the directory `path`; NotFound, InvalidArgument when it is not a directory, ArchiveError."""
    raise NotImplementedError
