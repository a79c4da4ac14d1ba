"""The file system that a file operation changes: what lies below, with the new layer over it.

Nothing is written here: what is made is noted as nodes, from which the layer is written in the end. Paths of
the image are followed as if its root were `/`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from corten.build.context.attributes import read_attributes
from corten.build.context.beneath import Directories, explain, show
from corten.build.context.model import SourceTree
from corten.build.context.resolve import components
from corten.build.context.seen_file import SeenFile
from corten.build.files.nodes import Below, Directory, File, Link, Node, TreeFile
from corten.errors import InvalidArgument

_MAX_LINKS = 255
_MAX_PATH = 4095

Ids = tuple[int, int]
"""Owner and group."""


class Destination:
    """`below` is a view of the file system below; None: there is none. `mtime_ns` is that of directories
    that are made on the way. Call `close` in the end."""

    def __init__(self, below: SourceTree | None, *, mtime_ns: int) -> None:
        self._below = below
        self._mtime_ns = mtime_ns
        self._directories = Directories(below.root) if below is not None else None
        self.root = self._root()

    def close(self) -> None:
        """Lets go of what is open, and of the nodes: directories and their parents know each other, and
        would stay in memory until somebody collects such cycles."""
        if self._directories is not None:
            self._directories.close()
        pending = [self.root]
        while pending:
            directory = pending.pop()
            for node in (*directory.children.values(), *directory.known.values()):
                if isinstance(node, Directory):
                    pending.append(node)
            directory.children.clear()
            directory.known.clear()

    def _root(self) -> Directory:
        if self._directories is None:
            return Directory(None, "", 0o755, 0, 0, 0)
        fd = self._directories("")
        status = os.fstat(fd)
        return _merged(None, "", status, read_attributes(fd))

    # -- looking

    def child(self, directory: Directory, name: str) -> Node | None:
        """What has this name in `directory`, whether new or from below; a link is not followed."""
        node = directory.children.get(name)
        if node is None and directory.merged:
            known = directory.known
            if name in known:
                return known[name]
            node = known[name] = self._look_below(directory, name)
        return node

    def resolve(self, path: str) -> tuple[str, ...]:
        """Where `path` leads to, every link followed, that at the end as well; what is missing is kept as it
        stands. InvalidArgument for links that go round, and where a file is in the way."""
        pending = components(path)[::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del done[-1:]
                continue
            node = self.find(done)
            found = self.child(node, part) if isinstance(node, Directory) else None
            target = found.target if isinstance(found, Link | Below) else None
            if target is None:
                if pending and found is not None and not isinstance(found, Directory):
                    raise _in_the_way([*done, part], path)
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidArgument(f"{show(path)} goes round in symbolic links of the image")
            if target.startswith("/"):
                done.clear()
            pending += components(target)[::-1]
        return tuple(done)

    def find(self, path: Sequence[str]) -> Node | None:
        """What is there; no link is followed."""
        node: Node | None = self.root
        for name in path:
            if not isinstance(node, Directory):
                return None
            node = self.child(node, name)
        return node

    def _look_below(self, directory: Directory, name: str) -> Node | None:
        assert self._directories is not None and self._below is not None
        path = directory.path
        try:
            fd = self._directories(path)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return None
            if stat.S_ISLNK(status.st_mode):
                return Below(path, name, status, os.readlink(name, dir_fd=fd))
            if not stat.S_ISDIR(status.st_mode):
                return Below(path, name, status, None)
            inner = self._directories(f"{path}/{name}" if path else name)
            return _merged(directory, name, status, read_attributes(inner))
        except OSError as error:
            raise explain(error, f"{path}/{name}" if path else name, self._below.name) from error

    # -- changing

    def make_directories(self, path: Sequence[str], mode: int = 0o755, owner: Ids = (0, 0)) -> Directory:
        """The directory `path`, made where it is missing, with its parents; InvalidArgument where something
        else is in the way."""
        here = self.root
        for position, name in enumerate(path):
            node = self.child(here, name)
            if node is None:
                node = self.make(here, name, mode, owner, self._mtime_ns)
            elif not isinstance(node, Directory):
                raise _in_the_way(path[: position + 1], "/".join(path))
            here = node
        return here

    def make(self, parent: Directory, name: str, mode: int, owner: Ids, mtime_ns: int) -> Directory:
        """A new directory, in the place of whatever has this name."""
        made = Directory(parent, name, mode, *owner, mtime_ns)
        made.attached = True
        # A directory below is hidden already by what stood here, and must stay so.
        made.opaque = (
            parent.merged
            and name in parent.children
            and isinstance(self._known_below(parent, name), Directory)
        )
        self.put(parent, name, made)
        return made

    def _known_below(self, parent: Directory, name: str) -> Node | None:
        if name not in parent.known:
            parent.known[name] = self._look_below(parent, name)
        return parent.known[name]

    def put(self, parent: Directory, name: str, node: Node) -> None:
        """Gives `node` this name, in the place of whatever has it."""
        if name.startswith(".wh."):
            raise InvalidArgument(
                f"{show(name)} cannot be in an image: names that begin with .wh. stand for deletions in its "
                "layers; give it another name"
            )
        self._attach(parent)
        parent.children[name] = node

    def copy_up(self, parent: Directory, name: str) -> File | None:
        """A regular file from below, made part of the layer, so that it can get another name; None when
        `name` in `parent` is none."""
        found = self.child(parent, name)
        if not isinstance(found, Below) or not stat.S_ISREG(found.status.st_mode) or self._below is None:
            return None
        data = TreeFile(self._below, found.directory, SeenFile(found.name, found.status))
        file = File(found.mode, found.uid, found.gid, found.mtime_ns, data)
        self.put(parent, name, file)
        return file

    def describe(self, directory: Directory) -> None:
        """Notes that a directory's own mode, owner or attributes were changed."""
        directory.described = True
        self._attach(directory)

    def _attach(self, directory: Directory) -> None:
        """Directories from below become part of the layer with the first thing that changes in them."""
        here = directory
        while not here.attached:
            here.attached = True
            if here.parent is None:
                return
            here.parent.children[here.name] = here
            here = here.parent


def _merged(
    parent: Directory | None, name: str, status: os.stat_result, attributes: dict[bytes, bytes] | None
) -> Directory:
    return Directory(
        parent,
        name,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        attributes,
        merged=True,
    )


def _in_the_way(path: Sequence[str], wanted: str) -> InvalidArgument:
    return InvalidArgument(
        f"cannot make {show('/' + wanted.strip('/'))} in the image: {show('/' + '/'.join(path))} is no "
        "directory there"
    )
