"""Deterministic tars: ustar, with PAX records only where ustar cannot say it, and GNU's sparse format 1.0 for holes.

Trees are walked by descriptors, in byte order of the names, without following a link. An overlay's whiteouts and
opaque directories become the `.wh.` names of the image format.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from corten.errors import ArchiveError
from corten.snapshot import tar_header as h
from corten.snapshot.overlay_marks import OPAQUE_NAME, WHITEOUT_DEVICE, WHITEOUT_PREFIX
from corten.snapshot.tar_header import BLOCK, Entry

PIECE = 1 << 20
Write = Callable[[bytes | memoryview], object]

_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TarWriter:
    """Collects small things and hands pieces of about 1 MiB to `write`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._buffer = bytearray()

    def add(self, entry: Entry) -> None:
        """Writes the header; exactly `entry.size` bytes of `data` must follow, then `pad`."""
        records: dict[bytes, bytes] = {}
        prefix, name = _split_name(entry.name, records)
        link = entry.linkname
        if len(link) > 100:
            records[b"linkpath"] = link
        seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
        if fraction or not 0 <= seconds <= _OCTAL_11:
            records[b"mtime"] = _decimal(entry.mtime_ns)
            seconds = min(max(seconds, 0), _OCTAL_11)
        for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
            if value > _OCTAL_7:
                records[key] = b"%d" % value
        if entry.size > _OCTAL_11:
            records[b"size"] = b"%d" % entry.size
        for attribute, content in sorted((entry.xattrs or {}).items()):
            records[h.XATTR_PREFIX + attribute] = content
        if entry.sparse is not None:
            records[b"GNU.sparse.major"] = b"1"
            records[b"GNU.sparse.minor"] = b"0"
            records[b"GNU.sparse.name"] = entry.name
            records[b"GNU.sparse.realsize"] = b"%d" % entry.real_size
            records.pop(b"path", None)
        if records:
            body = b"".join(_record(key, value) for key, value in sorted(records.items()))
            self._header(
                b"PaxHeaders.0/" + name[-80:],
                b"",
                h.PAX_HEADER,
                0o644,
                0,
                0,
                len(body),
                0,
                b"",
                0,
                0,
                b"",
                b"",
            )
            self._buffer += body
            self.pad(len(body))
        self._header(
            name,
            prefix,
            entry.type,
            entry.mode,
            min(entry.uid, _OCTAL_7),
            min(entry.gid, _OCTAL_7),
            min(entry.size, _OCTAL_11),
            seconds,
            link[:100],
            entry.devmajor,
            entry.devminor,
            entry.uname,
            entry.gname,
        )

    def data(self, piece: bytes | memoryview) -> None:
        """Some of the current entry's bytes."""
        if len(piece) < PIECE // 4:
            self._buffer += piece
            if len(self._buffer) >= PIECE:
                self.flush()
        else:
            self.flush()
            self._write(piece)

    def pad(self, size: int) -> None:
        """Fills up to a block after `size` bytes of data."""
        if rest := -size % BLOCK:
            self._buffer += bytes(rest)
        if len(self._buffer) >= PIECE:
            self.flush()

    def file(self, name: bytes, data: bytes, *, mode: int = 0o644, mtime_ns: int = 0) -> None:
        """A small regular file, root's."""
        entry = Entry(name)
        entry.mode = mode
        entry.mtime_ns = mtime_ns
        entry.size = entry.real_size = len(data)
        self.add(entry)
        self.data(data)
        self.pad(len(data))

    def directory(self, name: bytes, *, mode: int = 0o755) -> None:
        """A directory, root's."""
        entry = Entry(name.rstrip(b"/") + b"/", h.DIRECTORY)
        entry.mode = mode
        self.add(entry)

    def flush(self) -> None:
        """Hands out what was collected."""
        if self._buffer:
            self._write(bytes(self._buffer))
            self._buffer.clear()

    def finish(self) -> None:
        """The end-of-archive marker."""
        self._buffer += bytes(2 * BLOCK)
        self.flush()

    def _header(
        self,
        name: bytes,
        prefix: bytes,
        kind: bytes,
        mode: int,
        uid: int,
        gid: int,
        size: int,
        mtime: int,
        link: bytes,
        major: int,
        minor: int,
        uname: bytes,
        gname: bytes,
    ) -> None:
        block = h.HEADER.pack(
            name,
            b"%07o\0" % mode,
            b"%07o\0" % uid,
            b"%07o\0" % gid,
            b"%011o\0" % size,
            b"%011o\0" % mtime,
            b"        ",
            kind,
            link,
            b"ustar\x0000",
            uname[:31],
            gname[:31],
            b"%07o\0" % major,
            b"%07o\0" % minor,
            prefix,
        )
        self._buffer += block[:148] + b"%06o\0 " % h.checksum(block) + block[156:]


def _split_name(name: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    if len(name) <= 100:
        return b"", name
    if len(name) <= 256:
        slash = name.find(b"/", len(name) - 101, 156)
        if 0 < slash <= 155 and 0 < len(name) - slash - 1 <= 100:
            return name[:slash], name[slash + 1 :]
    records[b"path"] = name
    return b"", name[-100:]


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    size = len(body) + 1
    while size != len(body) + len(str(size)):
        size = len(body) + len(str(size))
    return b"%d" % size + body


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    text = b"%s%d.%09d" % (sign, seconds, fraction)
    return text.rstrip(b"0").rstrip(b".")


class TreePacker:
    """Writes directory trees to a TarWriter. `whiteouts` turns overlay's marks into the image format's."""

    def __init__(self, writer: TarWriter, *, whiteouts: bool = False) -> None:
        self._writer = writer
        self._whiteouts = whiteouts
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
        if self._whiteouts and self._is_whiteout(status, path):
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
        return fd

    def _regular(self, parent: int, name: bytes, entry: Entry) -> None:
        try:
            fd = os.open(name, _FILE_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            entry.xattrs = _xattrs(fd)
            size = entry.size = entry.real_size = status.st_size
            if status.st_blocks * 512 < size and (regions := _regions(fd, size)) is not None:
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

    def _is_whiteout(self, status: os.stat_result, path: bytes) -> bool:
        if stat.S_ISCHR(status.st_mode):
            return status.st_rdev == WHITEOUT_DEVICE
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            return False
        return any(
            _get(path, prefix + "whiteout") is not None for prefix in ("trusted.overlay.", "user.overlay.")
        )


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


def pack_upper(upper: str, write: Write) -> None:
    """The layer tar of an overlay's upper directory."""
    fd = os.open(upper, _DIRECTORY_FLAGS)
    try:
        writer = TarWriter(write)
        TreePacker(writer, whiteouts=True).contents(fd, b"")
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
