"""Directory trees as tars: walked by descriptors, in byte order of the names, without following a link.

An overlay's whiteouts and opaque directories become the `.wh.` names of the image format; holes stay holes,
unless the same tree is to give the same bytes on every file system: each has its own idea of what a hole is.
"""

from __future__ import annotations

import errno
import os
import stat

from corten.errors import ArchiveError
from corten.snapshot import tar_header as h
from corten.snapshot.lookup import is_whiteout
from corten.snapshot.overlay_marks import OPAQUE_NAME, WHITEOUT_PREFIX
from corten.snapshot.tar_header import BLOCK, Entry
from corten.snapshot.tar_writer import PIECE, TarWriter, Write
from corten.snapshot.tree import open_regular

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TreePacker:
    """Writes directory trees to a TarWriter. `whiteouts` turns overlay's marks into the image format's;
    with `device` (an st_dev), directories of other file systems are not entered. Without `holes` they are
    written as zeros."""

    def __init__(
        self, writer: TarWriter, *, whiteouts: bool = False, device: int | None = None, holes: bool = True
    ) -> None:
        self._writer = writer
        self._whiteouts = whiteouts
        self._device = device
        self._holes = holes
        self._links: dict[tuple[int, int], bytes] = {}

    def contents(self, fd: int, prefix: bytes) -> None:
        """Everything in the directory `fd`, named below `prefix` (empty, or ending with a slash)."""
        stack = [(fd, prefix, sorted(os.listdir(b"/proc/self/fd/%d" % fd), reverse=True))]
        try:
            while stack:
                directory, base, names = stack[-1]
                if not names:
                    stack.pop()
                    if stack:
                        os.close(directory)
                    continue
                name = names.pop()
                child = self.member(directory, name, base + name)
                if child >= 0:
                    children = sorted(os.listdir(b"/proc/self/fd/%d" % child), reverse=True)
                    stack.append((child, base + name + b"/", children))
        finally:
            for directory, _, _ in stack[1:]:
                os.close(directory)

    def member(self, parent: int, name: bytes, archive_name: bytes) -> int:
        """One file; of a directory, the header: its descriptor is returned (else -1)."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return -1  # gone meanwhile, in a running container
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return -1
        path = b"/proc/self/fd/%d/%s" % (parent, name)
        if self._whiteouts and is_whiteout(status, path):
            head, _, tail = archive_name.rpartition(b"/")
            self._writer.file((head + b"/" if head else b"") + WHITEOUT_PREFIX + tail, b"", mode=0o600)
            return -1
        entry = _entry(archive_name, status)
        if status.st_nlink > 1 and kind != stat.S_IFDIR:
            first = self._links.setdefault((status.st_dev, status.st_ino), archive_name)
            if first != archive_name:
                entry.type, entry.linkname, entry.size = h.HARD_LINK, first, 0
                self._writer.add(entry)
                return -1
        if kind == stat.S_IFREG:
            self._regular(parent, name, entry)
            return -1
        if kind == stat.S_IFDIR:
            return self._directory(parent, name, entry)
        if kind == stat.S_IFLNK:
            entry.type, entry.linkname = h.SYMLINK, os.readlink(name, dir_fd=parent)
        elif kind == stat.S_IFIFO:
            entry.type = h.FIFO
        else:
            entry.type = h.CHARACTER if kind == stat.S_IFCHR else h.BLOCK_DEVICE
            entry.devmajor, entry.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        entry.xattrs = _xattrs(path)
        self._writer.add(entry)
        return -1

    def root(self, fd: int, archive_name: bytes) -> None:
        """The header of the directory `fd` itself."""
        entry = _entry(archive_name.rstrip(b"/") + b"/", os.fstat(fd))
        entry.type, entry.xattrs = h.DIRECTORY, _xattrs(fd)
        self._writer.add(entry)

    def _directory(self, parent: int, name: bytes, entry: Entry) -> int:
        try:
            fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return -1
            raise
        opaque = self._whiteouts and _opaque(fd)
        entry.type, entry.xattrs, entry.name = h.DIRECTORY, _xattrs(fd), entry.name + b"/"
        self._writer.add(entry)
        if opaque:
            self._writer.file(entry.name + OPAQUE_NAME, b"", mode=0o600)
        if self._device is not None and os.fstat(fd).st_dev != self._device:
            os.close(fd)
            return -1
        return fd

    def _regular(self, parent: int, name: bytes, entry: Entry) -> None:
        fd = open_regular(name, parent)
        if fd is None:
            return
        try:
            status = os.fstat(fd)
            entry.xattrs = _xattrs(fd)
            size = entry.size = entry.real_size = status.st_size
            sparse = self._holes and status.st_blocks * 512 < size
            if sparse and (regions := _regions(fd, size)) is not None:
                self._sparse(fd, entry, regions)
                return
            self._writer.add(entry)
            self._copy(fd, size)
            self._writer.pad(size)
        finally:
            os.close(fd)

    def _copy(self, fd: int, left: int) -> None:
        """Exactly `left` bytes: a file that shrinks meanwhile is filled up with zeros."""
        while left:
            piece = os.read(fd, min(left, PIECE)) or bytes(min(left, PIECE))
            left -= len(piece)
            self._writer.data(piece)

    def _sparse(self, fd: int, entry: Entry, regions: list[tuple[int, int]]) -> None:
        lines = [b"%d\n" % len(regions)]
        for offset, length in regions:
            lines.append(b"%d\n%d\n" % (offset, length))
        table = b"".join(lines)
        table += bytes(-len(table) % BLOCK)
        stored = sum(length for _, length in regions)
        entry.sparse = regions
        entry.size = len(table) + stored
        self._writer.add(entry)
        self._writer.data(table)
        for offset, length in regions:
            os.lseek(fd, offset, os.SEEK_SET)
            self._copy(fd, length)
        self._writer.pad(stored)


def pack_directory(root: str, write: Write) -> None:
    """A tar of everything beneath `root`, the root itself as `./`."""
    fd = os.open(root, _DIRECTORY_FLAGS)
    try:
        writer = TarWriter(write)
        packer = TreePacker(writer)
        packer.root(fd, b"./")
        packer.contents(fd, b"")
        writer.finish()
    finally:
        os.close(fd)


def pack_upper(upper: str, write: Write, *, holes: bool = True) -> None:
    """The layer tar of an overlay's upper directory."""
    fd = os.open(upper, _DIRECTORY_FLAGS)
    try:
        writer = TarWriter(write)
        TreePacker(writer, whiteouts=True, holes=holes).contents(fd, b"")
        writer.finish()
    finally:
        os.close(fd)


def _entry(name: bytes, status: os.stat_result) -> Entry:
    entry = Entry(name)
    entry.mode = stat.S_IMODE(status.st_mode)
    entry.uid, entry.gid = status.st_uid, status.st_gid
    entry.mtime_ns = status.st_mtime_ns
    return entry


def _xattrs(target: int | bytes) -> dict[bytes, bytes] | None:
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM, errno.ENOENT, errno.EACCES):
            return None
        raise
    result: dict[bytes, bytes] = {}
    for name in names:
        if not name.startswith(("trusted.overlay.", "user.overlay.", "security.selinux")):
            value = _get(target, name)
            if value is not None:
                result[os.fsencode(name)] = value
    return result or None


def _get(target: int | bytes, name: str) -> bytes | None:
    try:
        return os.getxattr(target, name, follow_symlinks=isinstance(target, int))
    except OSError:
        return None


def _opaque(fd: int) -> bool:
    if _get(fd, "trusted.overlay.redirect") is not None:
        raise ArchiveError("the layer cannot be packed: a directory was renamed by overlay's redirect_dir")
    return b"y" in (_get(fd, "trusted.overlay.opaque"), _get(fd, "user.overlay.opaque"))


def _regions(fd: int, size: int) -> list[tuple[int, int]] | None:
    """The parts of a file that are data, or None when it has no holes."""
    regions: list[tuple[int, int]] = []
    position = 0
    try:
        while position < size:
            try:
                start = os.lseek(fd, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            regions.append((start, end - start))
            position = end
    except OSError:
        regions = [(0, size)]
    os.lseek(fd, 0, os.SEEK_SET)
    if regions == [(0, size)]:
        return None
    if not regions or regions[-1][0] + regions[-1][1] < size:
        regions.append((size, 0))  # GNU tar's way of saying where the file ends
    return regions
