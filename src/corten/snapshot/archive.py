"""`docker cp` and `export`: tars out of and into a container's tree, with every link resolved beneath its
root.

All functions take `root_fd`: a directory descriptor of the container's root (`/proc/<pid>/root` of a
running one, the mounted overlay inside `snapshot.view` for a stopped one).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from corten.errors import ArchiveError, InvalidArgument, NotFound
from corten.oci.image_config import format_time
from corten.snapshot.inflate import Inflater
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tar_writer import TarWriter
from corten.snapshot.tree import Components, Tree, open_regular
from corten.snapshot.tree_packer import TreePacker
from corten.snapshot.unpack import Into, Unpacker

Write = Callable[[bytes | memoryview], object]
Read = Callable[[int], bytes]

# Go's os.FileMode, which Docker's header speaks.
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFREG: 0,
}
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@dataclass(frozen=True, slots=True)
class PathStat:
    """What the header X-Docker-Container-Path-Stat says. `mode` is Go's os.FileMode; `mtime` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A file in the tree: its parent's descriptor, its own name (empty for the root) and where it is."""

    parent: int
    name: bytes
    where: Components
    archive_name: bytes
    status: os.stat_result


def stat_path(root_fd: int, path: str) -> PathStat:
    """What is at `path` (a link at its end is not followed, unless a slash comes behind it); NotFound."""
    with _find(root_fd, path) as place:
        return _stat(place)


def pack_path(root_fd: int, path: str, write: Write) -> PathStat:
    """Writes a tar of `path` (its last component names the entries; `/.` at the end means the contents);
    NotFound."""
    with _find(root_fd, path) as place:
        writer = TarWriter(write)
        packer = TreePacker(writer)
        if stat.S_ISDIR(place.status.st_mode):
            fd = _open_directory(place)
            try:
                packer.root(fd, place.archive_name)
                packer.contents(fd, place.archive_name.rstrip(b"/") + b"/")
            finally:
                os.close(fd)
        else:
            packer.member(place.parent, place.name, place.archive_name)
        writer.finish()
        return _stat(place)


def pack_tree(root_fd: int, write: Write) -> None:
    """Writes a tar of everything (`export`); other file systems mounted in the tree are not entered."""
    writer = TarWriter(write)
    TreePacker(writer, device=os.fstat(root_fd).st_dev).contents(root_fd, b"")
    writer.finish()


def unpack_path(
    root_fd: int,
    path: str,
    read: Read,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
    user: str = "",
) -> None:
    """Unpacks a tar into the directory `path`; NotFound, InvalidArgument when it is not a directory,
    ArchiveError.

    With `copy_uid_gid` everything belongs to `user` (`name|uid[:group|gid]`, the container's; root when
    empty).
    """
    with _find(root_fd, path.rstrip("/") + "/.") as place:
        if not stat.S_ISDIR(place.status.st_mode):
            raise InvalidArgument(f"extraction point is not a directory: {path}")
        owner = _owner(root_fd, user) if copy_uid_gid and user else None
        into = Into(place.where, owner, overwrite=not no_overwrite_dir_non_dir)
    inflater = Inflater(read, what="archive")
    Unpacker(root_fd, None, into=into).unpack(TarReader(inflater.read, require_end=True))


@contextmanager
def _find(root_fd: int, path: str) -> Iterator[_Place]:
    if "\0" in path:
        raise InvalidArgument("the path has a NUL in it")
    raw = os.fsencode(path)
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    follow = raw.endswith((b"/", b"/.")) or raw in (b"", b".")
    contents = raw.endswith(b"/.") or raw == b"."
    tree = Tree(root_fd)
    try:
        yield _locate(tree, root_fd, path, _normal(parts), follow, contents)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"Could not find the file {path} in the container") from None
    finally:
        tree.close()


def _locate(tree: Tree, root_fd: int, path: str, parts: Components, follow: bool, contents: bool) -> _Place:
    shown = (b"." if contents else parts[-1]) if parts else b"/"
    try:
        parent_path = tree.canonical(parts[:-1], make=False) if parts else ()
        if not parts:
            return _Place(root_fd, b".", (), shown, os.fstat(root_fd))
        parent = tree.directory(parent_path, make=False)
        status = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
        if follow and not stat.S_ISREG(status.st_mode):
            where = tree.canonical((*parent_path, parts[-1]), make=False)
            fd = tree.directory(where, make=False)
            return _Place(fd, b".", where, shown, os.fstat(fd))
        if follow:
            raise InvalidArgument(f"not a directory: {path}")
        return _Place(parent, parts[-1], (*parent_path, parts[-1]), shown, status)
    except ArchiveError:
        raise NotFound(f"Could not find the file {path} in the container") from None


def _normal(parts: list[bytes]) -> Components:
    """`..` taken lexically, as Docker's filepath.Clean does before it looks at anything."""
    done: list[bytes] = []
    for part in parts:
        if part == b"..":
            del done[-1:]
        else:
            done.append(part)
    return tuple(done)


def _open_directory(place: _Place) -> int:
    return os.open(
        place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.parent
    )


def _stat(place: _Place) -> PathStat:
    status = place.status
    mode = stat.S_IMODE(status.st_mode) & 0o777 | _GO_TYPES.get(stat.S_IFMT(status.st_mode), 0)
    for bit, go_bit in _GO_BITS:
        if status.st_mode & bit:
            mode |= go_bit
    target = ""
    if stat.S_ISLNK(status.st_mode):
        link = os.readlink(place.name, dir_fd=place.parent)
        base = [] if link.startswith(b"/") else list(place.where[:-1])
        target = "/" + os.fsdecode(
            b"/".join(_normal([*base, *(p for p in link.split(b"/") if p not in (b"", b"."))]))
        )
    name = os.fsdecode(place.archive_name)
    return PathStat(name, status.st_size, mode, format_time(status.st_mtime_ns), target)


def _owner(root_fd: int, user: str) -> tuple[int, int]:
    """The ids of `name|uid[:group|gid]`, by the tree's own /etc/passwd and /etc/group."""
    name, _, group = user.partition(":")
    uid, gid = (int(name), 0) if name.isdigit() else (-1, -1)
    for fields in _lines(root_fd, (b"etc", b"passwd")):
        if len(fields) >= 4 and (fields[0] == name or fields[2] == name):
            uid, gid = int(fields[2]), int(fields[3])
            break
    if group.isdigit():
        gid = int(group)
    elif group:
        for fields in _lines(root_fd, (b"etc", b"group")):
            if len(fields) >= 3 and fields[0] == group:
                gid = int(fields[2])
                break
        else:
            raise InvalidArgument(f"unable to find group {group}: no matching entries in group file")
    if uid < 0:
        raise InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    return uid, gid


def _lines(root_fd: int, path: Components) -> Iterator[list[str]]:
    tree = Tree(root_fd)
    try:
        parent = tree.directory(path[:-1], make=False)
        fd = open_regular(path[-1], parent)
    except (OSError, ArchiveError):
        return
    finally:
        tree.close()
    if fd is None:
        return
    with os.fdopen(fd, "r", encoding="utf-8", errors="replace") as file:
        for line in file.read(1 << 20).splitlines():
            yield line.split(":")
