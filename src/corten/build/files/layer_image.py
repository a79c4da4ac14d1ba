"""The layer as the kernel mounts it: an EROFS image, made along with the tar. The contents of small files are
copied into it; those of large ones stay in the tar, which is its second device."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import cast

from corten.build.files.nodes import Directory
from corten.snapshot.erofs.contents import ALIGN, AlignedInTar
from corten.snapshot.erofs.image_writer import ImageWriter
from corten.snapshot.erofs.layer_tree import LayerTree
from corten.snapshot.erofs.xattr import attributes
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_reader import TarReader

_BITS = ALIGN.bit_length() - 1


class LayerImage:
    """Writes to the empty file `fd`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._given = _Given()
        self._contents = AlignedInTar(fd, cast(TarReader, self._given))
        self._tree = LayerTree(self._contents)
        self.notes = self._tree.notes

    def add(self, entry: Entry, content: bytes, offset: int) -> None:
        """One entry of the tar, in which its data begin at `offset`; of a small file, its `content`."""
        self._given.content = content
        self._given.offset = offset
        self._tree.add(entry)

    def finish(self, root: Directory, tar_size: int) -> tuple[int, int]:
        """Lays the image out; `root` tells what the root directory looks like. (Bytes of files, inodes)."""
        self._contents.flush()
        top = self._tree.root
        top.mode = stat.S_IFDIR | root.mode
        top.uid, top.gid, top.mtime_ns = root.uid, root.gid, root.mtime_ns
        top.xattrs = attributes(root.attributes or {}, top.mode)[0]
        usage = self._tree.finish()
        writer = ImageWriter(self._fd, top, block_bits=_BITS, start=self._contents.end, device_size=tar_size)
        writer.write()
        return usage


class _Given:
    """What a TarReader would have of the entry that is added: its place and its contents."""

    def __init__(self) -> None:
        self.content = b""
        self.offset = 0

    def data(self) -> Iterator[memoryview]:
        """See TarReader."""
        yield memoryview(self.content)
