"""ADD's archives: a tar, plain or compressed, unpacked into the destination as if that were its whole world.

Links of the archive, and links that are there, lead nowhere outside of the directory that it is unpacked to.
Its contents are not written here: nodes point into the archive, or into an inflated copy of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from corten.build.context.beneath import show
from corten.build.context.model import Stop
from corten.build.context.resolve import components
from corten.build.files.destination import Destination, Ids
from corten.build.files.nodes import Below, Directory, Extent, File, Link, Node, Special
from corten.errors import ArchiveError, InvalidArgument
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import Inflater
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_reader import TarReader

_MAX_LINKS = 255
_KEPT = (b"user.", b"security.capability")
_OVERLAY = b"user.overlay."
_KINDS = {h.FIFO: stat.S_IFIFO, h.CHARACTER: stat.S_IFCHR, h.BLOCK_DEVICE: stat.S_IFBLK}


class Unpacking:
    """Unpacks archives into directories of `destination`. `scratch` is a directory for inflated copies,
    which have no name there. `owner` (None: as the archive says) is that of everything."""

    def __init__(
        self,
        destination: Destination,
        scratch: Path,
        *,
        owner: Ids | None,
        limits: Limits = DEFAULT_LIMITS,
        stop: Stop | None = None,
    ) -> None:
        self._destination = destination
        self._scratch = scratch
        self._owner = owner
        self._limits = limits
        self._stop = stop

    def unpack(self, fd: int, name: str, top: Directory) -> int:
        """The archive in the open file `fd` (called `name` in messages) into `top`. The descriptor of what
        its contents are read from later; the caller closes it. ArchiveError."""
        try:
            data = self._plain(fd)
        except ArchiveError as error:
            raise ArchiveError(f"cannot unpack {name}: {error.message}") from error
        try:
            self._members(data, top)
        except (ArchiveError, InvalidArgument) as error:
            os.close(data)
            raise type(error)(f"cannot unpack {name}: {error.message}") from error
        except BaseException:
            os.close(data)
            raise
        return data

    def _plain(self, fd: int) -> int:
        """A descriptor of the plain tar: the file itself, or an inflated copy."""
        inflater = Inflater(_reader(fd), limits=self._limits)
        if inflater.compression == "plain":
            return os.dup(fd)
        copy = os.open(self._scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            while piece := inflater.read():
                view = memoryview(piece)
                while view:
                    view = view[os.write(copy, view) :]
                if self._stop is not None:
                    self._stop()
        except BaseException:
            os.close(copy)
            raise
        return copy

    def _members(self, data: int, top: Directory) -> None:
        offset = 0

        def read(size: int) -> bytes:
            nonlocal offset
            piece = os.pread(data, size, offset)
            offset += len(piece)
            return piece

        def skip(size: int) -> None:
            nonlocal offset
            offset += size

        reader = TarReader(read, skip=skip, limits=self._limits)
        while (entry := reader.next()) is not None:
            if self._stop is not None:
                self._stop()
            self._member(entry, data, reader.offset, top)

    def _member(self, entry: Entry, data: int, offset: int, top: Directory) -> None:
        name = os.fsdecode(entry.name)
        parts = components(name)
        if ".." in parts:
            parts = _cleaned(parts, name)
        if not parts:
            return  # the directory itself stays as it is
        is_directory = entry.type == h.DIRECTORY
        parent, own, found = self._place(top, parts, follow_last=is_directory)
        if parent is None:
            return  # the directory that it is unpacked to
        if is_directory:
            self._directory(parent, own, found, entry)
            return
        node = self._hard_link(entry, top) if entry.type == h.HARD_LINK else self._node(entry, data, offset)
        if found is not node:
            self._destination.put(parent, own, node)

    def _directory(self, parent: Directory, name: str, found: Node | None, entry: Entry) -> None:
        uid, gid = self._owner or (entry.uid, entry.gid)
        if not isinstance(found, Directory):
            found = self._destination.make(parent, name, 0, (0, 0), 0)
        found.mode, found.uid, found.gid, found.mtime_ns = entry.mode, uid, gid, entry.mtime_ns
        found.attributes = _attributes(entry)
        self._destination.describe(found)

    def _node(self, entry: Entry, data: int, offset: int) -> Node:
        uid, gid = self._owner or (entry.uid, entry.gid)
        if entry.type in (h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS):
            extent = Extent(data, offset, entry.real_size, entry.sparse)
            node: Node = File(entry.mode, uid, gid, entry.mtime_ns, extent)
        elif entry.type == h.SYMLINK:
            node = Link(uid, gid, entry.mtime_ns, os.fsdecode(entry.linkname))
        else:
            device = os.makedev(entry.devmajor, entry.devminor)
            node = Special(entry.mode, uid, gid, entry.mtime_ns, _KINDS[entry.type], device)
        node.attributes = _attributes(entry)
        return node

    def _hard_link(self, entry: Entry, top: Directory) -> Node:
        name = os.fsdecode(entry.linkname)
        parent, own, found = self._place(top, _cleaned(components(name), name), follow_last=False)
        if parent is not None and isinstance(found, Below):
            found = self._destination.copy_up(parent, own)
        if found is None or isinstance(found, Directory):
            raise ArchiveError(
                f"the hard link {show(os.fsdecode(entry.name))} points to {show(name)}, which cannot be "
                "linked to"
            )
        return found

    def _place(
        self, top: Directory, parts: Sequence[str], *, follow_last: bool
    ) -> tuple[Directory | None, str, Node | None]:
        """(the directory in which it is, its name there, what has that name now), links followed below
        `top`; missing directories are made. (None, "", top) for `top` itself."""
        here, above = top, [top]
        pending = list(reversed(parts))
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                above = above[:-1] or [top]
                here = above[-1]
                if not pending:
                    break
                continue
            found = self._destination.child(here, name)
            target = found.target if isinstance(found, Link | Below) else None
            if target is not None and (pending or follow_last):
                links += 1
                if links > _MAX_LINKS:
                    raise ArchiveError(f"{show('/'.join(parts))} goes round in symbolic links")
                if target.startswith("/"):
                    here, above = top, [top]
                pending += components(target)[::-1]
                continue
            if not pending:
                return here, name, found
            if found is None:
                found = self._destination.make(here, name, 0o755, (0, 0), 0)
            elif not isinstance(found, Directory):
                raise InvalidArgument(f"{show('/'.join(parts))} cannot be made: {show(name)} is no directory")
            here = found
            above.append(here)
        if here is top or here.parent is None:
            return None, "", top
        return here.parent, here.name, here


def _cleaned(parts: Sequence[str], name: str) -> list[str]:
    done: list[str] = []
    for part in parts:
        if part != "..":
            done.append(part)
        elif done:
            done.pop()
        else:
            raise ArchiveError(f"member {show(name)} leaves the directory by '..'")
    return done


def _attributes(entry: Entry) -> dict[bytes, bytes] | None:
    kept = {
        name: value
        for name, value in (entry.xattrs or {}).items()
        if name.startswith(_KEPT) and not name.startswith(_OVERLAY)
    }
    return kept or None


def _reader(fd: int) -> Callable[[int], bytes]:
    os.lseek(fd, 0, os.SEEK_SET)
    return lambda size: os.read(fd, size)
