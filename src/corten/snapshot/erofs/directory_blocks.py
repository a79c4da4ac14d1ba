"""Directories on disk: entries sorted by name, in blocks each of which holds its own names.

A block begins with the entries (12 bytes each) and goes on with their names; a name ends where the next
begins, the last one at the block's end or the first zero. The kernel finds a name by two binary searches:
for the block by the blocks' first names, then within it.
"""

from __future__ import annotations

from itertools import pairwise

from corten.snapshot.erofs import disk_format as d
from corten.snapshot.erofs.node import Directory, Node


def names_of(directory: Directory) -> list[bytes]:
    """All names, "." and ".." among them, in the order of their bytes."""
    return sorted([*directory.children, b".", b".."])


def cut(names: list[bytes], block: int) -> list[int]:
    """Where each block ends (positions in `names`)."""
    if d.DIRENT_SIZE * len(names) + sum(map(len, names)) <= block:
        return [len(names)]
    ends = []
    used = 0
    for position, name in enumerate(names):
        size = d.DIRENT_SIZE + len(name)
        if used + size > block:
            ends.append(position)
            used = 0
        used += size
    ends.append(len(names))
    return ends


def size_of(names: list[bytes], block: int) -> int:
    """A directory's size in bytes: full blocks, and what the last one uses."""
    ends = cut(names, block)
    last = names[ends[-2] if len(ends) > 1 else 0 :]
    return (len(ends) - 1) * block + d.DIRENT_SIZE * len(last) + sum(map(len, last))


def encode(directory: Directory, parent: int, block: int) -> bytes:
    """The directory's data; `parent` is the nid of the directory above. All nids must be known."""
    names = names_of(directory)
    children: dict[bytes, Node] = directory.children
    pack = d.DIRENT.pack
    types = d.FILE_TYPES
    parts: list[bytes] = []
    for start, end in pairwise([0, *cut(names, block)]):
        offset = d.DIRENT_SIZE * (end - start)
        chosen = names[start:end]
        used = offset
        for name in chosen:
            node = children.get(name)
            if node is not None:
                parts.append(pack(node.nid, used, types[node.mode & 0o170000], 0))
            else:
                parts.append(pack(directory.nid if name == b"." else parent, used, 2, 0))
            used += len(name)
        parts += chosen
        if end < len(names):
            parts.append(bytes(block - used))
    return b"".join(parts)
