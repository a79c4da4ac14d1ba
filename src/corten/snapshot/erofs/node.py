"""The inodes of a layer in memory."""

from __future__ import annotations

import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.snapshot.erofs.xattr import Attribute


class Node:
    """One inode: a pipe or a device, when it is no subclass' (`rdev` as EROFS encodes it). `mode` has the
    type's bits; `nlink` counts names, and is worked out later for a directory; `nid` is 0 until the image is
    laid out. `whiteout`: made by a whiteout of this layer."""

    __slots__ = ("gid", "mode", "mtime_ns", "nid", "nlink", "rdev", "size", "uid", "whiteout", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, size: int = 0) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = size
        self.nlink = 1
        self.nid = 0
        self.rdev = 0
        self.whiteout = False
        self.xattrs: tuple[Attribute, ...] = ()


class File(Node):
    """A regular file. Its contents are at `block` of device `device`, in one piece; or, with `chunks`, in
    pieces of 2**`chunk_bits` bytes at these blocks of the image itself (HOLE: zeros)."""

    __slots__ = ("block", "chunk_bits", "chunks", "device")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, size: int) -> None:
        super().__init__(mode, uid, gid, mtime_ns, size)
        self.block = 0
        self.device = 0
        self.chunks: list[int] | None = None
        self.chunk_bits = 0


class Link(Node):
    """A symbolic link."""

    __slots__ = ("target",)

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, target: bytes) -> None:
        super().__init__(mode, uid, gid, mtime_ns, len(target))
        self.target = target


class Directory(Node):
    """`implied`: no entry described it. `opaque`: it hides what is below it."""

    __slots__ = ("children", "implied", "opaque")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int) -> None:
        super().__init__(mode, uid, gid, mtime_ns)
        self.children: dict[bytes, Node] = {}
        self.implied = False
        self.opaque = False


def implied_directory() -> Directory:
    """As it looks when nothing below tells better."""
    found = Directory(stat.S_IFDIR | 0o755, 0, 0, 0)
    found.implied = True
    return found
