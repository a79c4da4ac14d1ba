"""Reads an EROFS image without mounting it: to list what is in a layer, and to check an index.

It understands what `image_writer` writes: no compression, no long xattr prefixes. Every offset is checked,
so that a damaged image makes an IntegrityError and nothing else.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corten.errors import IntegrityError
from corten.snapshot.erofs import disk_format as d

_PREFIXES = {index: prefix for prefix, index in d.XATTR_PREFIXES} | {
    index: name for name, index in d.XATTR_WHOLE.items()
}


@dataclass(frozen=True, slots=True)
class Inode:
    """One inode. `mode` has the type's bits; `rdev` is (major, minor); `body` is the offset of what stands
    behind it, `union` its i_u."""

    nid: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    nlink: int
    rdev: tuple[int, int]
    layout: int
    body: int
    union: int
    xattr_count: int

    @property
    def is_whiteout(self) -> bool:
        """Whether it hides what is below it."""
        return stat.S_ISCHR(self.mode) and self.rdev == (0, 0)


@dataclass(frozen=True, slots=True)
class Found:
    """A name in the image (relative, b"" for the root) and its inode."""

    path: bytes
    inode: Inode


class ImageReader:
    """One image, by its path. Use it as a context manager, or close it."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.file_size = os.fstat(fd).st_size
            if self.file_size < 4096:
                raise IntegrityError(f"{path} is no EROFS image: it has {self.file_size} bytes")
            self._data = mmap.mmap(fd, self.file_size, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self._path = path
        fields = d.SUPER.unpack_from(self._data, d.SUPER_OFFSET)
        if fields[0] != d.MAGIC or fields[3] not in (9, 12):
            self.close()
            raise IntegrityError(f"{path} is no EROFS image")
        self.block_bits: int = fields[3]
        block = 1 << self.block_bits
        head = self._data[d.SUPER_OFFSET : d.SUPER_OFFSET + max(block, d.SUPER_OFFSET)]
        if d.super_checksum(head, block) != fields[1]:
            self.close()
            raise IntegrityError(f"{path} is damaged: its superblock has a wrong checksum")
        self._root: int = fields[5]
        self.inodes: int = fields[6]
        self._time: int = fields[7] * 1_000_000_000 + fields[8]
        self._meta: int = fields[10] << self.block_bits
        self._xattrs: int = fields[11] << self.block_bits
        self.devices: int = fields[16]
        if fields[9] << self.block_bits != self.file_size:
            self.close()
            raise IntegrityError(
                f"{path} is damaged: it has {self.file_size} bytes, not {fields[9] << self.block_bits}"
            )

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._data.close()

    @property
    def root(self) -> Inode:
        """The root directory."""
        return self.inode(self._root)

    def walk(self) -> Iterator[Found]:
        """Every name in the image, a directory before what it holds. IntegrityError for what is damaged."""
        pending = [(b"", self._root)]
        seen: set[int] = set()
        while pending:
            path, nid = pending.pop()
            inode = self.inode(nid)
            yield Found(path, inode)
            if not stat.S_ISDIR(inode.mode):
                continue
            if nid in seen:
                raise self._damaged(f"the directory {path!r} is in two places")
            seen.add(nid)
            children = [
                ((path + b"/" if path else b"") + name, child)
                for name, child, _type in self.directory(inode)
                if name not in (b".", b"..")
            ]
            pending += reversed(children)

    def find(self, path: bytes) -> Inode | None:
        """The inode with a relative path, no link on the way followed; None when there is none."""
        inode = self.root
        for part in [part for part in path.split(b"/") if part]:
            if not stat.S_ISDIR(inode.mode):
                return None
            nid = next((nid for name, nid, _type in self.directory(inode) if name == part), None)
            if nid is None:
                return None
            inode = self.inode(nid)
        return inode

    def inode(self, nid: int) -> Inode:
        """The inode with this number."""
        offset = self._meta + nid * d.SLOT
        if nid < 1:
            raise self._damaged("an inode has the number 0")
        layout = self._unpack("<H", offset)[0]
        if layout & 1:
            (_format, count, mode, _r, size, union, _ino, uid, gid, seconds, nanoseconds, nlink) = (
                self._struct(d.EXTENDED, offset)
            )
            mtime_ns, body = seconds * 1_000_000_000 + nanoseconds, offset + d.EXTENDED.size
        else:
            _format, count, mode, nlink, size, _r, union, _ino, uid, gid, _r2 = self._struct(
                d.COMPACT, offset
            )
            mtime_ns, body = self._time, offset + d.COMPACT.size
        layout >>= 1
        if layout not in (d.LAYOUT_PLAIN, d.LAYOUT_INLINE, d.LAYOUT_CHUNKS) or not self._type(mode):
            raise self._damaged(f"inode {nid} has mode {mode:o} and layout {layout}")
        rdev = d.decode_device(union) if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else (0, 0)
        return Inode(nid, mode, uid, gid, size, mtime_ns, nlink, rdev, layout, body, union, count)

    def directory(self, inode: Inode) -> list[tuple[bytes, int, int]]:
        """(name, nid, type) of a directory's entries, "." and ".." among them; they must be sorted."""
        block = 1 << self.block_bits
        data = self._contents(inode)
        found: list[tuple[bytes, int, int]] = []
        for start in range(0, len(data), block):
            found += self._block(data[start : start + block], inode.nid)
        names = [name for name, _nid, _type in found]
        if names != sorted(set(names)) or b"." not in names or b".." not in names:
            raise self._damaged(f"the directory {inode.nid} is not sorted")
        return found

    def target(self, inode: Inode) -> bytes:
        """Where a symbolic link points to."""
        return self._contents(inode)

    def xattrs(self, inode: Inode) -> dict[bytes, bytes]:
        """An inode's extended attributes by their full names."""
        if not inode.xattr_count:
            return {}
        size = d.XATTR_HEADER.size + 4 * (inode.xattr_count - 1)
        _filter, shared = self._struct(d.XATTR_HEADER, inode.body)
        found: dict[bytes, bytes] = {}
        offset = inode.body + d.XATTR_HEADER.size
        for number in self._unpack(f"<{shared}I", offset):
            self._xattr(self._xattrs + 4 * number, found)
        offset += 4 * shared
        while offset < inode.body + size:
            offset = self._xattr(offset, found)
        return found

    def extents(self, inode: Inode) -> list[tuple[int, int, int, int]]:
        """(offset in the file, length, device, offset in the device) of a regular file, holes left out;
        device 0 is the image itself."""
        if not inode.size:
            return []
        if inode.layout == d.LAYOUT_PLAIN:
            self._check_range(inode.union << self.block_bits, inode.size)
            return [(0, inode.size, 0, inode.union << self.block_bits)]
        if inode.layout != d.LAYOUT_CHUNKS:
            raise self._damaged(f"the file {inode.nid} is inline")
        bits = self.block_bits + (inode.union & d.MAX_CHUNK_BITS)
        start = (inode.body + self._body_size(inode) + 7) // 8 * 8
        found = []
        for chunk in range(((inode.size - 1) >> bits) + 1):
            _advise, device, block = self._struct(d.CHUNK, start + chunk * d.CHUNK.size)
            if block == d.HOLE:
                continue
            length = min(1 << bits, inode.size - (chunk << bits))
            if device > self.devices:
                raise self._damaged(f"the file {inode.nid} is on device {device}")
            if not device:
                self._check_range(block << self.block_bits, length)
            found.append((chunk << bits, length, device, block << self.block_bits))
        return found

    # -- pieces

    def _body_size(self, inode: Inode) -> int:
        return d.XATTR_HEADER.size + 4 * (inode.xattr_count - 1) if inode.xattr_count else 0

    def _contents(self, inode: Inode) -> bytes:
        """Of a directory or a link."""
        start = inode.union << self.block_bits
        if inode.layout == d.LAYOUT_INLINE:
            start = inode.body + self._body_size(inode)
            if (start & ((1 << self.block_bits) - 1)) + inode.size > 1 << self.block_bits:
                raise self._damaged(f"the data of inode {inode.nid} crosses a block's border")
        elif inode.layout != d.LAYOUT_PLAIN:
            raise self._damaged(f"inode {inode.nid} is in chunks")
        self._check_range(start, inode.size)
        return self._data[start : start + inode.size]

    def _block(self, data: bytes, nid: int) -> list[tuple[bytes, int, int]]:
        if len(data) < d.DIRENT_SIZE:
            raise self._damaged(f"the directory {nid} ends in the middle of an entry")
        first = d.DIRENT.unpack_from(data)[1]
        if first % d.DIRENT_SIZE or not d.DIRENT_SIZE <= first < len(data):
            raise self._damaged(f"the directory {nid} has a malformed block")
        entries = list(d.DIRENT.iter_unpack(data[:first]))
        ends = [entry[1] for entry in entries[1:]] + [len(data)]
        found = []
        for (child, start, kind, _reserved), end in zip(entries, ends, strict=True):
            name = data[start:end]
            if end == len(data):
                name = name.partition(b"\0")[0]
            if not name or len(name) > 255 or b"/" in name or not first <= start < end:
                raise self._damaged(f"the directory {nid} has a malformed name")
            found.append((name, child, kind))
        return found

    def _xattr(self, offset: int, found: dict[bytes, bytes]) -> int:
        length, index, size = self._struct(d.XATTR_ENTRY, offset)
        start = offset + d.XATTR_ENTRY.size
        self._check_range(start, length + size)
        prefix = _PREFIXES.get(index)
        if prefix is None:
            raise self._damaged(f"an attribute has the prefix {index}")
        found[prefix + self._data[start : start + length]] = self._data[
            start + length : start + length + size
        ]
        return start + (length + size + 3) // 4 * 4

    def _struct(self, layout: struct.Struct, offset: int) -> tuple[int, ...]:
        self._check_range(offset, layout.size)
        return layout.unpack_from(self._data, offset)

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        self._check_range(offset, struct.calcsize(layout))
        return struct.unpack_from(layout, self._data, offset)

    def _check_range(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.file_size:
            raise self._damaged(f"it refers to byte {offset + size} of {self.file_size}")

    @staticmethod
    def _type(mode: int) -> int:
        return d.FILE_TYPES.get(stat.S_IFMT(mode), 0)

    def _damaged(self, why: str) -> IntegrityError:
        return IntegrityError(f"{self._path} is damaged: {why}")


def check(path: Path, *, device_size: int = 0) -> int:
    """Reads every inode, name and attribute of an image; how many inodes it has. IntegrityError.
    `device_size`: of the tar that it points into."""
    with ImageReader(path) as image:
        seen: set[int] = set()
        for found in image.walk():
            inode = found.inode
            if inode.nid in seen:
                continue
            seen.add(inode.nid)
            image.xattrs(inode)
            if stat.S_ISLNK(inode.mode):
                image.target(inode)
            elif stat.S_ISREG(inode.mode):
                for _offset, length, device, start in image.extents(inode):
                    if device and start + length > device_size:
                        raise IntegrityError(
                            f"{path} is damaged: it refers to byte {start + length} of its tar"
                        )
        if len(seen) != image.inodes:
            raise IntegrityError(f"{path} is damaged: {len(seen)} of {image.inodes} inodes have names")
        return len(seen)
