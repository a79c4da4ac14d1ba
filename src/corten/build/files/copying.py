"""COPY's rules: what goes where, and over what. They are BuildKit's (tonistiigi/fsutil, copy), with two
exceptions: several files to one name are an error, and so is an owner that nobody knows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from corten.build.context.beneath import Directories, show
from corten.build.context.manifest import read_link
from corten.build.context.model import SourceTree
from corten.build.context.seen_file import SeenFile
from corten.build.context.selection import Match
from corten.build.context.walk import Listing
from corten.build.files.destination import Destination, Ids
from corten.build.files.mode import Change
from corten.build.files.nodes import Directory, File, Link, Node, Special, TreeFile
from corten.errors import InvalidArgument

ROOT: Ids = (0, 0)


class Copier:
    """Copies what one action has selected from `tree`. `owner` and `change` (of modes) are what was asked
    for; None: as in the tree. `contents`: of directories, their contents are copied."""

    def __init__(
        self,
        destination: Destination,
        tree: SourceTree,
        *,
        owner: Ids | None,
        change: Change | None,
        contents: bool,
    ) -> None:
        self._destination = destination
        self._tree = tree
        self._owner = owner
        self._change = change
        self._contents = contents
        self._sources = Directories(tree.root)
        self._links: dict[bytes, File] = {}

    def close(self) -> None:
        """Lets go of what is open."""
        self._sources.close()

    def copy(self, match: Match, path: str) -> None:
        """One match to the destination `path`; InvalidArgument where it cannot go there."""
        self._links.clear()
        if match.file is not None:
            self._file(match.directory, match.file, match.name, path)
        else:
            self._directory(match.listings, match.name, path)

    # -- one file

    def _file(self, directory: str, seen: SeenFile, name: str, path: str) -> None:
        node = self._node(directory, seen)
        place_file(self._destination, name, path, node, self._owner or ROOT)

    def _node(self, directory: str, seen: SeenFile) -> Node:
        mode = seen.mode & 0o7777
        kind = seen.mode & 0o170000
        uid, gid = self._owner or ((seen.uid, seen.gid) if self._tree.keep_owners else ROOT)
        if kind == stat.S_IFLNK:
            target = read_link(self._sources, directory, seen.name, self._tree.name)
            return Link(uid, gid, seen.mtime_ns, target)
        if self._change is not None:
            mode = self._change(mode, False)
        if kind != stat.S_IFREG:
            return Special(mode, uid, gid, seen.mtime_ns, kind, seen.device)
        file = File(mode, uid, gid, seen.mtime_ns, TreeFile(self._tree, directory, seen))
        return self._links.setdefault(seen.inode, file) if seen.nlink > 1 else file

    def _ids(self, status: os.stat_result) -> Ids:
        return (status.st_uid, status.st_gid) if self._tree.keep_owners else ROOT

    # -- directories

    def _directory(self, listings: Iterable[Listing], name: str, path: str) -> None:
        nodes: dict[str, Directory] = {}
        for listing in listings:
            if not listing.relative:
                nodes[""] = self._top(listing, name, path)
            else:
                above, _, own = listing.relative.rpartition("/")
                nodes[listing.relative] = self._inner(nodes[above], own, listing)
            self._files(nodes[listing.relative], listing)

    def _top(self, listing: Listing, name: str, path: str) -> Directory:
        """The directory that the contents go to. One that is there stays as it is."""
        destination = self._destination
        owner = self._owner or ROOT
        parts = prepare(destination, path, owner)
        found = destination.find(parts)
        if self._contents:
            if found is None:
                return destination.make_directories(parts, owner=owner)
        elif found is not None and name:
            parts = (*parts, name)
            found = destination.find(parts)
        if found is None:
            parent = destination.make_directories(parts[:-1], owner=owner)
            return self._made(parent, parts[-1], listing)
        if not isinstance(found, Directory):
            raise _no_directory("/" + "/".join(parts))
        return found

    def _inner(self, parent: Directory, name: str, listing: Listing) -> Directory:
        """A directory further down: one that is there takes the mode and owner of the one that is copied."""
        found = self._destination.child(parent, name)
        if found is None:
            return self._made(parent, name, listing)
        if not isinstance(found, Directory):
            raise _no_directory(f"/{parent.path}/{name}".replace("//", "/"))
        if listing.selected:
            self._look_like(found, listing)
        else:
            found.mode = listing.status.st_mode & 0o7777
        self._destination.describe(found)
        return found

    def _made(self, parent: Directory, name: str, listing: Listing) -> Directory:
        made = self._destination.make(parent, name, 0o755, ROOT, listing.status.st_mtime_ns)
        self._look_like(made, listing)
        return made

    def _look_like(self, directory: Directory, listing: Listing) -> None:
        status = listing.status
        directory.uid, directory.gid = self._owner or self._ids(status)
        mode = status.st_mode & 0o7777
        directory.mode = mode if self._change is None else self._change(mode, True)
        directory.mtime_ns = status.st_mtime_ns
        if listing.attributes:
            directory.attributes = (directory.attributes or {}) | listing.attributes

    def _files(self, directory: Directory, listing: Listing) -> None:
        # In a new directory nothing can be in the way.
        free = not (directory.merged or directory.children)
        for seen in listing.files:
            node = self._node(listing.path, seen)
            if free:
                self._destination.put(directory, seen.name, node)
            else:
                _put(self._destination, directory, seen.name, node)


def prepare(destination: Destination, path: str, owner: Ids) -> tuple[str, ...]:
    """Makes the directories that lead to `path` (all of it, when it ends in a slash); where it leads to."""
    head = path if path.endswith(("/", "/.")) else path.rpartition("/")[0]
    destination.make_directories(destination.resolve(head), owner=owner)
    return destination.resolve(path)


def place_file(destination: Destination, name: str, path: str, node: Node, owner: Ids) -> None:
    """Puts a file at `path`, or into the directory that is there, where it is called `name`."""
    parts = prepare(destination, path, owner)
    if isinstance(destination.find(parts), Directory):
        parts = (*parts, name)
    _put(destination, destination.make_directories(parts[:-1], owner=owner), parts[-1], node)


def _put(destination: Destination, parent: Directory, name: str, node: Node) -> None:
    """InvalidArgument when a directory has the name."""
    if isinstance(destination.child(parent, name), Directory):
        where = show(f"/{parent.path}/{name}".replace("//", "/"))
        raise InvalidArgument(
            f"cannot replace the directory {where} of the image with a file: copy it to another name, or "
            "remove the directory first"
        )
    destination.put(parent, name, node)


def _no_directory(path: str) -> InvalidArgument:
    return InvalidArgument(
        f"cannot copy a directory to {show(path)}: something else, or a link, is there in the image; copy to "
        "where the link leads, or remove it first"
    )
