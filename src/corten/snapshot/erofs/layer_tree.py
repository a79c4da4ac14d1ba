"""The entries of a layer's tar, applied to a tree in memory, by the rules of `snapshot.unpack`: later entries
replace earlier ones, links in a parent's place are followed beneath the root, whiteouts become overlay's.

Nothing is created on the host, so nothing can lead out of it; what is refused is what has no meaning.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator

from corten.errors import ArchiveError
from corten.snapshot import tar_header as h
from corten.snapshot.erofs.disk_format import encode_device
from corten.snapshot.erofs.node import Directory, File, Link, Node, implied_directory
from corten.snapshot.erofs.xattr import OPAQUE, attributes
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.overlay_marks import META_PREFIX, OPAQUE_NAME, WHITEOUT_PREFIX
from corten.snapshot.tar_header import Entry
from corten.snapshot.tree import Components, show, split

_MAX_LINKS = 40
_MAX_NOTES = 20

Contents = Callable[[Entry, File], None]
"""Finds a place for the contents of the entry that was read last."""


class LayerTree:
    """`root` is the tree; `notes` are remarks for the user."""

    def __init__(self, contents: Contents, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.root = implied_directory()
        self.notes: list[str] = []
        self._contents = contents
        self._limits = limits
        # The directory in which the last entry was: most entries are in the same one.
        self._prefix: bytes | None = None
        self._parent = self.root

    def add(self, entry: Entry) -> None:
        """Applies one entry; ArchiveError."""
        prefix, _, name = entry.name.rpartition(b"/")
        if prefix == self._prefix and 2 < len(name) <= 255 and not name.startswith(WHITEOUT_PREFIX):
            self._make(self._parent, name, entry)
            return
        path = split(entry.name, self._limits.max_component)
        if not path:
            self._describe_root(entry)
            return
        name = path[-1]
        parent = self._directory(path[:-1])
        if name.startswith(WHITEOUT_PREFIX):
            self._whiteout(parent, name)
            return
        if path[-1] == entry.name.rpartition(b"/")[2]:
            self._prefix, self._parent = prefix, parent
        self._make(parent, name, entry)

    def finish(self) -> tuple[int, int]:
        """Call it at the end: works out link counts and opaque directories' marks; (size, inodes)."""
        size = inodes = 0
        seen: set[int] = set()
        pending = [self.root]
        while pending:
            directory = pending.pop()
            directory.nlink = 2
            if directory.opaque:
                directory.xattrs = tuple(sorted((*directory.xattrs, OPAQUE)))
            for node in directory.children.values():
                if node.__class__ is Directory:
                    directory.nlink += 1
                    pending.append(node)
                elif node.nlink > 1:
                    if id(node) in seen:
                        continue
                    seen.add(id(node))
                inodes += 1
                if node.__class__ is File:
                    size += node.size
        return size, inodes

    def implied(self) -> Iterator[tuple[bytes, Directory]]:
        """The directories that no entry described, with their paths."""
        pending: list[tuple[bytes, Directory]] = [(b"", self.root)]
        while pending:
            path, directory = pending.pop()
            if directory.implied:
                yield path, directory
            below = path + b"/" if path else b""
            for name, node in directory.children.items():
                if node.__class__ is Directory:
                    pending.append((below + name, node))

    # -- entries

    def _describe_root(self, entry: Entry) -> None:
        if entry.type != h.DIRECTORY:
            raise ArchiveError(f"the archive is refused: member {show(entry.name)} would replace the root")
        self._describe(self.root, entry)

    def _describe(self, directory: Directory, entry: Entry) -> None:
        directory.mode = stat.S_IFDIR | entry.mode
        directory.uid, directory.gid, directory.mtime_ns = entry.uid, entry.gid, entry.mtime_ns
        directory.xattrs = ()
        directory.implied = False
        if entry.xattrs:
            self._attributes(directory, entry)

    def _make(self, parent: Directory, name: bytes, entry: Entry) -> None:
        kind = entry.type
        if kind == h.REGULAR or kind == h.REGULAR_OLD or kind == h.CONTIGUOUS:
            file = File(stat.S_IFREG | entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.real_size)
            if entry.real_size:
                self._contents(entry, file)
            node: Node = file
        elif kind == h.DIRECTORY:
            self._directory_entry(parent, name, entry)
            return
        elif kind == h.HARD_LINK:
            self._hard_link(parent, name, entry)
            return
        else:
            node = _special(entry)
        if entry.xattrs:
            self._attributes(node, entry)
        if name in parent.children:
            self._discard(parent, name)
        parent.children[name] = node

    def _directory_entry(self, parent: Directory, name: bytes, entry: Entry) -> None:
        found = parent.children.get(name)
        if not isinstance(found, Directory):
            hidden = found is not None and found.whiteout
            if found is not None:
                self._discard(parent, name)
            found = parent.children[name] = implied_directory()
            # What a whiteout of the same layer hides stays hidden behind the directory in its place.
            found.opaque = hidden
        self._describe(found, entry)

    def _hard_link(self, parent: Directory, name: bytes, entry: Entry) -> None:
        target = split(entry.linkname, self._limits.max_component)
        if not target:
            raise ArchiveError(f"the archive is refused: hard link {show(entry.name)} points to nothing")
        source_parent = self._find(target[:-1])
        if source_parent is parent and target[-1] == name:
            return
        source = None if source_parent is None else source_parent.children.get(target[-1])
        if source is None:
            raise self._no_target(entry)
        if source is parent.children.get(name):
            return
        if isinstance(source, Directory):
            raise ArchiveError(
                f"the archive is refused: hard link {show(entry.name)} points to {show(entry.linkname)}, "
                "which cannot be linked to"
            )
        if name in parent.children:
            self._discard(parent, name)
            source_parent = self._find(target[:-1])
            if source_parent is None or source_parent.children.get(target[-1]) is not source:
                raise self._no_target(entry)
        source.nlink += 1
        parent.children[name] = source

    def _no_target(self, entry: Entry) -> ArchiveError:
        return ArchiveError(
            f"the archive is refused: hard link {show(entry.name)} points to {show(entry.linkname)}, "
            "which the archive does not hold"
        )

    def _discard(self, parent: Directory, name: bytes) -> None:
        """Takes out what has this name, with all that is below it."""
        self._prefix = None
        pending = [parent.children.pop(name)]
        while pending:
            node = pending.pop()
            node.nlink -= 1
            if isinstance(node, Directory):
                pending += node.children.values()

    def _attributes(self, node: Node, entry: Entry) -> None:
        node.xattrs, dropped = attributes(entry.xattrs or {}, node.mode)
        for name, reason in dropped:
            if len(self.notes) < _MAX_NOTES:
                self.notes.append(f"xattr {show(name)} of {show(entry.name)} left out: {reason}")

    # -- whiteouts

    def _whiteout(self, parent: Directory, name: bytes) -> None:
        if name == OPAQUE_NAME:
            parent.opaque = True
            return
        if name.startswith(META_PREFIX):
            return  # aufs' own bookkeeping
        victim = name[len(WHITEOUT_PREFIX) :]
        if victim in (b"", b".", b".."):
            raise ArchiveError(f"the archive is refused: whiteout {show(name)} names nothing")
        found = parent.children.get(victim)
        if found is None:
            node = Node(stat.S_IFCHR, 0, 0, 0)
            node.whiteout = True
            parent.children[victim] = node
        elif isinstance(found, Directory):
            # It hides what is below, not what this same layer has.
            found.opaque = True

    # -- paths

    def _directory(self, path: Components) -> Directory:
        """The directory `path`, links resolved beneath the root; what is missing is made."""
        found = self._walk(path, make=True)
        assert found is not None
        return found

    def _find(self, path: Components) -> Directory | None:
        return self._walk(path, make=False)

    def _walk(self, path: Components, *, make: bool) -> Directory | None:
        here = self.root
        above: list[Directory] = []
        pending = list(reversed(path))
        links = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                if above:
                    here = above.pop()
                continue
            node = here.children.get(name)
            if node.__class__ is not Directory:
                if isinstance(node, Link):
                    links += 1
                    if links > _MAX_LINKS:
                        raise ArchiveError(
                            f"the archive is refused: {show(name)} goes round in symbolic links"
                        )
                    if node.target.startswith(b"/"):
                        here, above = self.root, []
                    pending += [part for part in reversed(node.target.split(b"/")) if part and part != b"."]
                    continue
                node = self._step(here, name, node, make=make)
                if node is None:
                    return None
            above.append(here)
            here = node
        return here

    def _step(self, here: Directory, name: bytes, node: Node | None, *, make: bool) -> Directory | None:
        """A directory that is not there yet, or whose place a whiteout of this layer has."""
        if node is None or (node.whiteout and make):
            if not make:
                return None
            if node is not None:
                self._discard(here, name)
            if len(name) > 255:  # a component of a link's target
                raise ArchiveError(f"the archive is refused at {show(name)}: File name too long")
            made = implied_directory()
            made.opaque = node is not None
            here.children[name] = made
            return made
        raise ArchiveError(f"the archive is refused: {show(name)} is used as a directory, but is none")


def _special(entry: Entry) -> Node:
    """A symbolic link, a pipe or a device."""
    if entry.type == h.SYMLINK:
        if not entry.linkname:
            raise ArchiveError(f"the archive is refused: symbolic link {show(entry.name)} points to nothing")
        return Link(stat.S_IFLNK | 0o777, entry.uid, entry.gid, entry.mtime_ns, entry.linkname)
    if entry.type == h.FIFO:
        return Node(stat.S_IFIFO | entry.mode, entry.uid, entry.gid, entry.mtime_ns)
    kind = stat.S_IFCHR if entry.type == h.CHARACTER else stat.S_IFBLK
    node = Node(kind | entry.mode, entry.uid, entry.gid, entry.mtime_ns)
    try:
        node.rdev = encode_device(entry.devmajor, entry.devminor)
    except ValueError as error:
        raise ArchiveError(f"the archive is refused at {show(entry.name)}: {error}") from None
    return node
