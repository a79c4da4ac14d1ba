"""Unpacking a layer's tar into an overlay layer's directory: whiteouts become overlay's, links stay beneath
the root."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field

from corten.errors import ArchiveError, InvalidArgument, NoSpace
from corten.snapshot import tar_header as h
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.overlay_marks import (
    META_PREFIX,
    OPAQUE_NAME,
    WHITEOUT_DEVICE,
    WHITEOUT_PREFIX,
    Marks,
)
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tree import Components, Tree, remove_tree, show, split

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")
_MAX_NOTES = 20


@dataclass(slots=True)
class Unpacked:
    """What an unpack found: apparent bytes and inodes, the directories that no entry described, and
    remarks."""

    size: int = 0
    inodes: int = 0
    implied: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Into:
    """Unpacking into a tree that lives (`docker cp`): below `base`, which must exist; `owner` (uid, gid)
    replaces what the archive says; without `overwrite`, a directory never takes a file's place, nor a file a
    directory's."""

    base: Components = ()
    owner: tuple[int, int] | None = None
    overwrite: bool = True


class Unpacker:
    """Unpacks beneath `root_fd`: a layer into an empty directory (`marks` given; run it with umask 0), or
    any tar into a tree that lives (`into` given): then names of whiteouts are plain names."""

    def __init__(
        self,
        root_fd: int,
        marks: Marks | None,
        *,
        into: Into | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._root_fd = root_fd
        self._marks = marks
        self._into = into
        self._base = into.base if into is not None else ()
        self._limits = limits
        self._implied: set[Components] = {()}
        self._directories: dict[Components, Entry] = {}
        self._hidden: set[Components] = set()  # whiteouts made by this layer
        self._tree = Tree(root_fd, self._made, self._is_hidden)
        self._done = Unpacked()

    def unpack(self, reader: TarReader) -> Unpacked:
        """Everything in `reader`; ArchiveError, NoSpace. The caller removes the directory after a failure."""
        entry: Entry | None = None
        try:
            while (entry := reader.next()) is not None:
                self._member(entry, reader)
            entry = None
            self._finish_directories()
        except OSError as error:
            raise _explain(error, entry) from error
        finally:
            self._tree.close()
        self._done.implied = [b"/".join(path) for path in sorted(self._implied)]
        return self._done

    # -- members

    def _member(self, entry: Entry, reader: TarReader) -> None:
        path = split(entry.name, self._limits.max_component)
        if not path:
            if entry.type != h.DIRECTORY:
                raise ArchiveError(
                    f"the archive is refused: member {show(entry.name)} would replace the root"
                )
            self._implied.discard(())
            self._directories[()] = entry
            return
        name = path[-1]
        path = self._base + path
        if self._marks is not None and name.startswith(WHITEOUT_PREFIX):
            self._whiteout(path[:-1], name, self._marks)
            return
        if self._into is not None and self._into.owner is not None:
            entry.uid, entry.gid = self._into.owner
        parent_path = self._tree.canonical(path[:-1])
        path = (*parent_path, name)
        parent = self._tree.directory(parent_path)
        if entry.type == h.DIRECTORY:
            self._directory(parent, path, entry)
        elif entry.type in (h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS):
            self._regular(parent, path, entry, reader)
        else:
            self._special(parent, path, entry)

    def _made(self, path: Components, fd: int) -> None:
        """A parent that no entry described (yet): it is to look like the one below it, and hides that one
        where it takes a whiteout's place."""
        self._implied.add(path)
        self._done.inodes += 1
        if path in self._hidden:
            self._hidden.discard(path)
            self._make_opaque(fd)

    def _is_hidden(self, path: Components) -> bool:
        return path in self._hidden

    def _regular(self, parent: int, path: Components, entry: Entry, reader: TarReader) -> None:
        try:
            fd = os.open(path[-1], _CREATE, entry.mode & 0o777, dir_fd=parent)
        except FileExistsError:
            parent = self._replace(path)
            fd = os.open(path[-1], _CREATE, entry.mode & 0o777, dir_fd=parent)
        try:
            if entry.sparse is not None:
                os.ftruncate(fd, entry.real_size)
                _write_sparse(fd, entry, reader)
            else:
                for piece in reader.data():
                    written = os.write(fd, piece)
                    while written < len(piece):
                        piece = piece[written:]
                        written = os.write(fd, piece)
            self._chown(fd, entry)
            if entry.mode & 0o7000 or entry.xattrs or self._into is not None:
                os.fchmod(fd, entry.mode)
                self._xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self._done.size += entry.real_size
        self._done.inodes += 1

    def _directory(self, parent: int, path: Components, entry: Entry) -> None:
        hidden = path in self._hidden
        try:
            os.mkdir(path[-1], 0o700, dir_fd=parent)
            self._done.inodes += 1
        except FileExistsError:
            status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                parent = self._replace(path, by_directory=True)
                os.mkdir(path[-1], 0o700, dir_fd=parent)
                self._done.inodes += 1
        self._implied.discard(path)
        self._directories[path] = entry
        if hidden:
            # What a whiteout of the same layer hides stays hidden behind the directory that takes its place.
            self._hidden.discard(path)
            self._make_opaque(self._tree.directory(path))

    def _special(self, parent: int, path: Components, entry: Entry) -> None:
        kind = entry.type
        if kind == h.HARD_LINK:
            self._hard_link(path, entry)
            return
        try:
            try:
                _make_special(path[-1], parent, entry)
            except FileExistsError:
                _make_special(path[-1], self._replace(path), entry)
        except PermissionError:
            if kind not in (h.CHARACTER, h.BLOCK_DEVICE):
                raise
            self._note(f"device {show(entry.name)} left out: an ordinary user may not make devices")
            return
        self._apply_by_name(self._tree.directory(path[:-1]), path, entry)
        self._done.inodes += 1

    def _apply_by_name(self, parent: int, path: Components, entry: Entry) -> None:
        name = path[-1]
        try:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            self._owner_failed(error, entry)
        if entry.type != h.SYMLINK:
            _chmod(name, entry.mode, parent)
        if entry.xattrs:
            self._xattrs(b"/proc/self/fd/%d/%s" % (parent, name), entry)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _hard_link(self, path: Components, entry: Entry) -> None:
        target = split(entry.linkname, self._limits.max_component)
        if target:
            target = self._base + target
        else:
            raise ArchiveError(f"the archive is refused: hard link {show(entry.name)} points to nothing")
        try:
            source = self._tree.canonical(target[:-1], make=False)
        except FileNotFoundError:
            raise self._no_target(entry) from None
        if (*source, target[-1]) == path:
            return
        for attempt in (1, 2):
            # Both descriptors come from the cache of one tree: the second must not push the first out of it.
            try:
                source_fd = os.dup(self._tree.directory(source, make=False))
            except FileNotFoundError:  # it was below what this link replaces
                raise self._no_target(entry) from None
            try:
                os.link(
                    target[-1],
                    path[-1],
                    src_dir_fd=source_fd,
                    dst_dir_fd=self._tree.directory(path[:-1]),
                    follow_symlinks=False,
                )
                if (*source, target[-1]) in self._hidden:
                    self._hidden.add(path)
                return
            except FileExistsError:
                if attempt == 2:
                    raise
                self._replace(path)
            except FileNotFoundError:
                raise self._no_target(entry) from None
            except PermissionError as error:
                raise ArchiveError(
                    f"the archive is refused: hard link {show(entry.name)} points to {show(entry.linkname)}, "
                    "which cannot be linked to"
                ) from error
            finally:
                os.close(source_fd)

    def _no_target(self, entry: Entry) -> ArchiveError:
        return ArchiveError(
            f"the archive is refused: hard link {show(entry.name)} points to {show(entry.linkname)}, "
            "which the archive does not hold"
        )

    def _replace(self, path: Components, *, by_directory: bool = False) -> int:
        """Makes room where a duplicate name stands; returns the parent's descriptor."""
        if self._into is not None and not self._into.overwrite:
            self._refuse_other_kind(path, by_directory)
        self._tree.forget(path)
        size = len(path)
        for known in [known for known in self._directories if known[:size] == path]:
            del self._directories[known]
        self._implied = {known for known in self._implied if known[:size] != path}
        self._hidden = {known for known in self._hidden if known[:size] != path}
        parent = self._tree.directory(path[:-1])
        remove_tree(path[-1], dir_fd=parent)
        return parent

    def _refuse_other_kind(self, path: Components, by_directory: bool) -> None:
        """Docker's noOverwriteDirNonDir, in its words."""
        status = os.stat(path[-1], dir_fd=self._tree.directory(path[:-1]), follow_symlinks=False)
        where = "/" + os.fsdecode(b"/".join(path))
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgument(f"cannot overwrite directory {where!r} with non-directory")
        if by_directory:
            raise InvalidArgument(f"cannot overwrite non-directory {where!r} with directory")

    # -- whiteouts

    def _whiteout(self, parent_path: Components, name: bytes, marks: Marks) -> None:
        parent_path = self._tree.canonical(parent_path)
        if name == OPAQUE_NAME:
            self._make_opaque(self._tree.directory(parent_path))
            return
        if name.startswith(META_PREFIX):
            return  # aufs' own bookkeeping
        victim = name[len(WHITEOUT_PREFIX) :]
        if victim in (b"", b".", b".."):
            raise ArchiveError(f"the archive is refused: whiteout {show(name)} names nothing")
        path = (*parent_path, victim)
        parent = self._tree.directory(path[:-1])
        try:
            if marks.device_whiteouts:
                os.mknod(victim, stat.S_IFCHR, WHITEOUT_DEVICE, dir_fd=parent)
            else:
                os.close(os.open(victim, _CREATE, 0o000, dir_fd=parent))
                os.setxattr(b"/proc/self/fd/%d/%s" % (parent, victim), marks.whiteout, b"y")
                os.setxattr(parent, marks.opaque, b"x")
        except FileExistsError:
            # It hides what is below, not what this same layer has: a directory then hides the one below it.
            if stat.S_ISDIR(os.stat(victim, dir_fd=parent, follow_symlinks=False).st_mode):
                self._make_opaque(self._tree.directory(path))
            return
        self._hidden.add(path)
        self._done.inodes += 1

    def _make_opaque(self, fd: int) -> None:
        if self._marks is not None:
            os.setxattr(fd, self._marks.opaque, b"y")

    # -- metadata

    def _finish_directories(self) -> None:
        """Owners, modes and times of directories come last: what is made inside would change them."""
        for path in sorted(self._directories, reverse=True):
            entry = self._directories[path]
            fd = self._tree.directory(path, make=False)
            self._chown(fd, entry)
            os.fchmod(fd, entry.mode)
            if entry.xattrs:
                self._xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def _chown(self, fd: int, entry: Entry) -> None:
        try:
            os.fchown(fd, entry.uid, entry.gid)
        except OSError as error:
            self._owner_failed(error, entry)

    def _owner_failed(self, error: OSError, entry: Entry) -> None:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise error
        self._note(f"{show(entry.name)} cannot belong to {entry.uid}:{entry.gid}: this user has no such ids")

    def _xattrs(self, target: int | bytes, entry: Entry) -> None:
        for name, value in (entry.xattrs or {}).items():
            if name.startswith(_OVERLAY_XATTRS):
                continue  # would steer the kernel's overlay
            try:
                # A descriptor is followed by its nature; a path must not be.
                os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EACCES, errno.EINVAL):
                    raise
                self._note(f"xattr {show(name)} of {show(entry.name)} left out: {error.strerror}")

    def _note(self, text: str) -> None:
        if len(self._done.notes) < _MAX_NOTES:
            self._done.notes.append(text)


def _make_special(name: bytes, parent: int, entry: Entry) -> None:
    """A symbolic link, a pipe or a device."""
    if entry.type == h.SYMLINK:
        if not entry.linkname:
            raise ArchiveError(f"the archive is refused: symbolic link {show(entry.name)} points to nothing")
        os.symlink(entry.linkname, name, dir_fd=parent)
    elif entry.type == h.FIFO:
        os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
    else:
        kind = stat.S_IFCHR if entry.type == h.CHARACTER else stat.S_IFBLK
        os.mknod(name, kind | (entry.mode & 0o777), os.makedev(entry.devmajor, entry.devminor), dir_fd=parent)


def _chmod(name: bytes, mode: int, parent: int) -> None:
    """chmod(2) of the file itself: in a tree that lives, somebody may put a link in its place meanwhile."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
    finally:
        os.close(fd)


def _write_sparse(fd: int, entry: Entry, reader: TarReader) -> None:
    regions = iter(entry.sparse or ())
    offset = left = 0
    for piece in reader.data():
        while piece:
            while not left:
                offset, left = next(regions)
            written = os.pwrite(fd, piece[:left], offset)
            offset += written
            left -= written
            piece = piece[written:]


def _explain(error: OSError, entry: Entry | None) -> Exception:
    where = f" at {show(entry.name)}" if entry is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"cannot unpack the layer{where}: the disk is full")
    if error.errno in (
        errno.EFBIG,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.EINVAL,
        errno.EMLINK,
    ):
        return ArchiveError(f"the archive is refused{where}: {error.strerror}")
    return error
