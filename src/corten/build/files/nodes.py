"""The new layer while it is worked out: what each of its files is, and where its bytes will come from."""

from __future__ import annotations

import os

from corten.build.context.model import SourceTree
from corten.build.context.seen_file import SeenFile

Attributes = dict[bytes, bytes]


class TreeFile:
    """The bytes of a regular file in a source's tree: `seen` in `directory`."""

    __slots__ = ("directory", "seen", "tree")

    def __init__(self, tree: SourceTree, directory: str, seen: SeenFile) -> None:
        self.tree = tree
        self.directory = directory
        self.seen = seen


class Extent:
    """`size` bytes at `offset` of the open file `fd` (an archive that was spooled); with `sparse`, these
    regions (offset, length) of a file of `size` bytes stand there, one behind the other."""

    __slots__ = ("fd", "offset", "size", "sparse")

    def __init__(self, fd: int, offset: int, size: int, sparse: list[tuple[int, int]] | None = None) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size
        self.sparse = sparse


Bytes = TreeFile | Extent | bytes


class Node:
    """What all have: permission bits, owner, mtime, xattrs. A node under several names is a hard link."""

    __slots__ = ("attributes", "gid", "mode", "mtime_ns", "uid")

    def __init__(
        self, mode: int, uid: int, gid: int, mtime_ns: int, attributes: Attributes | None = None
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.attributes = attributes


class File(Node):
    """A regular file. `opened`: its source is open already. `written` is its path in the tar, once it is
    there."""

    __slots__ = ("data", "opened", "written")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, data: Bytes) -> None:
        super().__init__(mode, uid, gid, mtime_ns)
        self.data = data
        self.opened = False
        self.written = b""


class Link(Node):
    """A symbolic link."""

    __slots__ = ("target",)

    def __init__(self, uid: int, gid: int, mtime_ns: int, target: str) -> None:
        super().__init__(0o777, uid, gid, mtime_ns)
        self.target = target


class Special(Node):
    """A pipe or a device; `kind` has S_IFMT's bits."""

    __slots__ = ("device", "kind")

    def __init__(self, mode: int, uid: int, gid: int, mtime_ns: int, kind: int, device: int) -> None:
        super().__init__(mode, uid, gid, mtime_ns)
        self.kind = kind
        self.device = device


class Below(Node):
    """Something that the file system below has, and that is no directory; a link has a `target`. It is
    `name` in `directory` there."""

    __slots__ = ("directory", "name", "status", "target")

    def __init__(self, directory: str, name: str, status: os.stat_result, target: str | None) -> None:
        super().__init__(status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime_ns)
        self.directory = directory
        self.name = name
        self.status = status
        self.target = target


class Directory(Node):
    """`merged`: the file system below has it, too, and what is in it there shows. `opaque`: the file system
    below has it, and that is hidden. `described`: it is new, or not as it is below. `attached`: it is part of
    the layer. `children` are what the layer has in it, `known` what was looked up below (None: nothing is
    there)."""

    __slots__ = ("attached", "children", "described", "known", "merged", "name", "opaque", "parent")

    def __init__(
        self,
        parent: Directory | None,
        name: str,
        mode: int,
        uid: int,
        gid: int,
        mtime_ns: int,
        attributes: Attributes | None = None,
        *,
        merged: bool = False,
    ) -> None:
        super().__init__(mode, uid, gid, mtime_ns, attributes)
        self.parent = parent
        self.name = name
        self.merged = merged
        self.opaque = False
        self.described = not merged
        self.attached = False
        self.children: dict[str, Node] = {}
        self.known: dict[str, Node | None] = {}

    @property
    def path(self) -> str:
        """From the root, which has the empty one."""
        parts = []
        here: Directory | None = self
        while here is not None and here.parent is not None:
            parts.append(here.name)
            here = here.parent
        return "/".join(reversed(parts))
