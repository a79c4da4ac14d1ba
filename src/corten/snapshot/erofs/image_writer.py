"""Lays a tree out as an EROFS image, deterministic to the byte.

Behind what was copied into the image stand, each on a block's border: the shared xattrs, the blocks of
directories and links that are too long to stand behind their inodes, and the inodes: the root's first (its
number must fit into 16 bits), then those of each directory together, breadth first, so that to list a
directory and look at its files reads few blocks.
"""

from __future__ import annotations

import os
from collections import Counter

from corten.errors import ArchiveError
from corten.snapshot.erofs import disk_format as d
from corten.snapshot.erofs.directory_blocks import encode, names_of, size_of
from corten.snapshot.erofs.node import Directory, File, Link, Node
from corten.snapshot.erofs.xattr import Attribute, encode_body, encode_entry

_SECOND = 1_000_000_000
_FLUSH = 1 << 20
_HALF = 0xFFFF
_WORD = 0xFFFFFFFF


class ImageWriter:
    """Writes the image of `root` to `fd`, behind the contents that were copied there up to `start`, with
    blocks of 2**`block_bits` bytes. `device_size` bytes are on a second device, if it is not None."""

    def __init__(
        self, fd: int, root: Directory, *, block_bits: int, start: int, device_size: int | None = None
    ) -> None:
        self._fd = fd
        self._root = root
        self._bits = block_bits
        self._block = 1 << block_bits
        self._device_size = device_size
        self._start = self._up(start)
        self._time = 0
        self._attributes: Counter[Attribute] = Counter()
        self._shared: dict[Attribute, int] = {}
        self._bodies: dict[tuple[Attribute, ...], bytes] = {(): b""}
        self._order: list[Node] = []
        self._parents: dict[int, int] = {}  # nid of a directory: its parent's
        self._blocks: dict[int, int] = {}  # nid of what is too long for its inode's block: its first block
        self._meta = 0

    def write(self) -> None:
        """ArchiveError when an image cannot address what this one would hold."""
        self._look_through()
        shared = self._share()
        outside = self._up(self._start + len(shared))
        last = self._lay_out(outside)
        end = self._up(self._meta + last)
        if max(end, self._device_size or 0) >> self._bits > d.MAX_BLOCKS:
            raise ArchiveError("the archive is refused: the layer is too large for one file system")
        _write_all(self._fd, shared, self._start)
        self._write_outside()
        self._write_inodes()
        os.ftruncate(self._fd, end)
        self._write_super(end)

    def position(self, node: Node) -> int:
        """Where in the file an inode stands, once it is written."""
        return self._meta + node.nid * d.SLOT

    def _up(self, offset: int) -> int:
        return (offset + self._block - 1) >> self._bits << self._bits

    # -- before anything is written

    def _look_through(self) -> None:
        """What most inodes have in common: their time (such an inode can be compact), and attributes."""
        times: Counter[int] = Counter()
        attributes = self._attributes
        attributes.update(self._root.xattrs)
        pending = [self._root]
        while pending:
            for node in pending.pop().children.values():
                times[node.mtime_ns] += 1
                if node.xattrs:
                    attributes.update(node.xattrs)
                if node.__class__ is Directory:
                    pending.append(node)
        if times:
            self._time = max(times.items(), key=lambda item: (item[1], -item[0]))[0]

    def _share(self) -> bytes:
        """The area of the attributes that several inodes have."""
        parts = []
        offset = 0
        for attribute in sorted(item for item, count in self._attributes.items() if count > 1):
            entry = encode_entry(attribute)
            self._shared[attribute] = offset // 4
            parts.append(entry)
            offset += len(entry)
        return b"".join(parts)

    def _lay_out(self, outside: int) -> int:
        """Gives every inode its nid, in the order in which they stand; the size of them all."""
        position = d.SLOT  # nid 0 is nobody's: readdir(3) would leave it out
        outside_blocks = 0
        late: list[tuple[Node, int]] = []
        order = self._order
        root = self._root
        order.append(root)
        directories = [root]
        placed = 0
        reached = 0
        while True:
            while placed < len(order):
                node = order[placed]
                placed += 1
                tail = self._measure(node)
                size = (d.SLOT if self._is_compact(node) else 2 * d.SLOT) + len(self._body(node.xattrs))
                if node.__class__ is File:
                    size = (size + 7) // 8 * 8 + tail if tail else size
                elif tail:
                    if size + tail <= self._block:
                        size += tail
                        if (position & (self._block - 1)) + size > self._block:
                            position = self._up(position)
                    else:
                        late.append((node, outside_blocks))
                        outside_blocks += (tail + self._block - 1) >> self._bits
                node.nid = position // d.SLOT
                position = (position + size + d.SLOT - 1) // d.SLOT * d.SLOT
            if reached == len(directories):
                break
            directory = directories[reached]
            reached += 1
            for _name, node in sorted(directory.children.items()):
                if node.__class__ is Directory:
                    directories.append(node)
                    self._parents[id(node)] = directory.nid
                elif node.nlink > 1:
                    if node.nid:
                        continue
                    node.nid = -1
                order.append(node)
        self._blocks = {id(node): (outside >> self._bits) + block for node, block in late}
        self._meta = outside + (outside_blocks << self._bits)
        return position

    def _measure(self, node: Node) -> int:
        """The size of what belongs behind the inode."""
        if node.__class__ is File:
            if node.chunks is not None:
                return d.CHUNK.size * len(node.chunks)
            return d.CHUNK.size if node.device else 0
        if node.__class__ is Directory:
            node.size = size_of(names_of(node), self._block)
        return node.size

    def _is_compact(self, node: Node) -> bool:
        return (
            node.mtime_ns == self._time
            and node.uid <= _HALF
            and node.gid <= _HALF
            and node.nlink <= _HALF
            and node.size <= _WORD
            and not (node.__class__ is Directory and node.implied)
        )

    def _body(self, xattrs: tuple[Attribute, ...]) -> bytes:
        body = self._bodies.get(xattrs)
        if body is None:
            body = self._bodies[xattrs] = encode_body(xattrs, self._shared)
        return body

    # -- writing

    def _write_outside(self) -> None:
        for node in self._order:
            block = self._blocks.get(id(node))
            if block is not None:
                _write_all(self._fd, self._data(node), block << self._bits)

    def _data(self, node: Node) -> bytes:
        """A directory's or a link's."""
        if isinstance(node, Directory):
            return encode(node, self._parents.get(id(node), node.nid), self._block)
        assert isinstance(node, Link)
        return node.target

    def _write_inodes(self) -> None:
        buffer = bytearray()
        written = self._meta
        for number, node in enumerate(self._order, 1):
            buffer += bytes(self._meta + node.nid * d.SLOT - written - len(buffer))
            self._inode(buffer, node, number)
            if len(buffer) >= _FLUSH:
                _write_all(self._fd, buffer, written)
                written += len(buffer)
                buffer.clear()
        _write_all(self._fd, buffer, written)

    def _inode(self, buffer: bytearray, node: Node, number: int) -> None:
        layout, union, tail = d.LAYOUT_PLAIN, node.rdev, b""
        if node.__class__ is File:
            layout, union, tail = self._file(node)
        elif node.size:
            block = self._blocks.get(id(node))
            if block is None:
                layout, tail = d.LAYOUT_INLINE, self._data(node)
            else:
                union = block
        body = self._body(node.xattrs)
        count = (len(body) - 12) // 4 + 1 if body else 0
        if self._is_compact(node):
            buffer += d.COMPACT.pack(
                layout << 1,
                count,
                node.mode,
                node.nlink,
                node.size,
                0,
                union,
                number,
                node.uid,
                node.gid,
                0,
            )
        else:
            buffer += extended(node, layout, count, union, number)
        buffer += body
        if layout == d.LAYOUT_CHUNKS:
            buffer += bytes(-(d.SLOT + len(body)) % 8)
        buffer += tail

    def _file(self, node: File) -> tuple[int, int, bytes]:
        if node.chunks is not None:
            indexes = b"".join([d.CHUNK.pack(0, 0, block) for block in node.chunks])
            return d.LAYOUT_CHUNKS, d.CHUNK_INDEXES | (node.chunk_bits - self._bits), indexes
        if node.device:
            bits = max((node.size - 1).bit_length() - self._bits, 0)
            return d.LAYOUT_CHUNKS, d.CHUNK_INDEXES | bits, d.CHUNK.pack(0, node.device, node.block)
        return d.LAYOUT_PLAIN, node.block, b""

    def _write_super(self, end: int) -> None:
        device = self._device_size
        seconds, nanoseconds = divmod(self._time, _SECOND)
        feature = d.INCOMPAT_CHUNKED_FILE | (0 if device is None else d.INCOMPAT_DEVICE_TABLE)
        block = bytearray(
            d.SUPER.pack(
                d.MAGIC,
                0,
                d.COMPAT_SB_CHECKSUM | d.COMPAT_MTIME,
                self._bits,
                0,
                self._root.nid,
                len(self._order),
                seconds,
                nanoseconds,
                end >> self._bits,
                self._meta >> self._bits,
                self._start >> self._bits,
                bytes(16),
                bytes(16),
                feature,
                0,
                0 if device is None else 1,
                0 if device is None else (d.SUPER_OFFSET + d.SUPER.size) // d.DEVICE.size,
                0,
                0,
                0,
                0,
                0,
            )
        )
        if device is not None:
            block += d.DEVICE.pack(b"", (device + self._block - 1) >> self._bits, 0)
        block += bytes(4096 - d.SUPER_OFFSET - len(block))
        block[4:8] = d.super_checksum(bytes(block), self._block).to_bytes(4, "little")
        _write_all(self._fd, block, d.SUPER_OFFSET)


def extended(node: Node, layout: int, count: int, union: int, number: int) -> bytes:
    """An inode of 64 bytes; `count` is i_xattr_icount, `union` is i_u."""
    seconds, nanoseconds = divmod(node.mtime_ns, _SECOND)
    return d.EXTENDED.pack(
        (layout << 1) | 1,
        count,
        node.mode,
        0,
        node.size,
        union,
        number,
        node.uid,
        node.gid,
        seconds,
        nanoseconds,
        node.nlink,
    )


def _write_all(fd: int, data: bytes | bytearray, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
