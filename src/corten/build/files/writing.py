"""Writing a layer that has been worked out: its tar, and along with it its image, in one pass over the
sources."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping

from corten.build.context.ahead import open_seen, opened_ahead
from corten.build.context.attributes import read_attributes
from corten.build.context.beneath import Directories, changed, explain, show
from corten.build.context.contents import ContentDigests, check, with_attributes
from corten.build.context.model import SourceTree, Stop
from corten.build.files.bytecode import HEADER_SIZE, retimed, source_of
from corten.build.files.content_hasher import ContentHasher
from corten.build.files.layer_image import LayerImage
from corten.build.files.layer_tar import PIECE, ZEROS, LayerTar
from corten.build.files.nodes import Directory, Extent, File, Link, Node, Special, TreeFile
from corten.errors import InvalidArgument
from corten.snapshot import tar_header as h
from corten.snapshot.erofs.contents import LARGE
from corten.snapshot.overlay_marks import OPAQUE_NAME
from corten.snapshot.tar_header import Entry

_Item = tuple[Directory, bytes, bytes, Node]
"""Something in a directory: its name, its path, itself; a directory is in itself."""

_MAX_PATH = 4095
_KINDS = {stat.S_IFIFO: h.FIFO, stat.S_IFCHR: h.CHARACTER, stat.S_IFBLK: h.BLOCK_DEVICE}


class LayerPass:
    """One pass. `image` is None where the layer becomes directories. `digests` are what is known of the
    sources' contents, by the id of their tree: what is read is noted there. `epoch`: see LayerWriter.
    A context."""

    def __init__(
        self,
        tar: LayerTar,
        image: LayerImage | None,
        digests: Mapping[int, ContentDigests],
        *,
        epoch: int | None,
        stop: Stop | None,
    ) -> None:
        self._tar = tar
        self._image = image
        self._digests = digests
        self._epoch = epoch
        self._stop = stop
        self._sources: dict[int, Directories] = {}
        self._hasher = ContentHasher()

    def __enter__(self) -> LayerPass:
        return self

    def __exit__(self, *exception: object) -> None:
        self._hasher.__exit__(None, None, None)
        for directories in self._sources.values():
            directories.close()

    def write(self, root: Directory) -> None:
        """Everything in `root`, in an order that depends on the names alone."""
        with contextlib.closing(opened_ahead(_items(root), self._open)) as opened:
            for (directory, name, path, node), fd in opened:
                try:
                    if node is directory:
                        if self._stop is not None:
                            self._stop()
                        self._directory(directory, path)
                    else:
                        self._node(directory, name, path, node, fd)
                finally:
                    if fd is not None:
                        os.close(fd)

    def _open(self, item: _Item) -> int | None:
        node = item[3]
        if not isinstance(node, File) or not isinstance(node.data, TreeFile) or node.opened:
            return None
        node.opened = True
        data = node.data
        directories = self._sources.get(id(data.tree))
        if directories is None:
            directories = self._sources[id(data.tree)] = Directories(data.tree.root)
        return open_seen(directories, data.directory, data.seen, data.tree.name)

    # -- entries

    def _entry(self, name: bytes, kind: bytes, node: Node) -> Entry:
        if len(name) > _MAX_PATH:
            raise InvalidArgument(f"{show(os.fsdecode(name[:200]))}… is too long a path for a layer")
        entry = Entry(name, kind)
        entry.mode, entry.uid, entry.gid = node.mode, node.uid, node.gid
        entry.mtime_ns = node.mtime_ns if self._epoch is None else self._epoch * 1_000_000_000
        entry.xattrs = node.attributes
        return entry

    def _add(self, entry: Entry, content: bytes = b"") -> None:
        """An entry that is complete with `content`."""
        offset = self._tar.add(entry)
        if self._image is not None:
            self._image.add(entry, content, offset)
        if content:
            self._tar.data(content)
            self._tar.pad(len(content))

    def _directory(self, directory: Directory, name: bytes) -> None:
        self._add(self._entry(name, h.DIRECTORY, directory))
        if directory.opaque:
            mark = Entry(name + OPAQUE_NAME)
            mark.mode = 0o600
            self._add(mark)

    def _node(self, directory: Directory, name: bytes, path: bytes, node: Node, fd: int | None) -> None:
        if isinstance(node, File):
            if node.written:
                entry = self._entry(path, h.HARD_LINK, node)
                entry.linkname, entry.xattrs = node.written, None
                self._add(entry)
                return
            node.written = path
            self._file(directory, name, path, node, fd)
        elif isinstance(node, Link):
            entry = self._entry(path, h.SYMLINK, node)
            entry.linkname = os.fsencode(node.target)
            self._add(entry)
        elif isinstance(node, Special):
            entry = self._entry(path, _KINDS[node.kind], node)
            if node.kind != stat.S_IFIFO:
                entry.devmajor, entry.devminor = os.major(node.device), os.minor(node.device)
            self._add(entry)

    # -- contents

    def _file(self, directory: Directory, name: bytes, path: bytes, node: File, fd: int | None) -> None:
        entry = self._entry(path, h.REGULAR, node)
        data = node.data
        source = self._compiled_from(directory, name) if self._epoch is not None else None
        if isinstance(data, TreeFile):
            assert fd is not None
            self._tree_file(entry, data, fd, source)
        elif isinstance(data, Extent):
            self._contents(entry, data.size, _extent(data), source)
        else:
            self._contents(entry, len(data), iter((data,)), source)

    def _compiled_from(self, directory: Directory, name: bytes) -> File | None:
        """The source of a .pyc, when it is in this layer, too."""
        if not name.endswith(b".pyc"):
            return None
        found = source_of(os.fsdecode(name), directory.name)
        where = directory.parent if found is not None and found[1] else directory
        source = where.children.get(found[0]) if found is not None and where is not None else None
        return source if isinstance(source, File) else None

    def _contents(self, entry: Entry, size: int, pieces: Iterator[bytes], source: File | None) -> None:
        """Exactly `size` bytes."""
        entry.size = entry.real_size = size
        if size < LARGE:
            self._add(entry, self._retimed(b"".join(pieces), source))
            return
        self._add(entry)
        for piece in pieces:
            self._tar.data(self._retimed(piece, source))
            source = None
            if self._stop is not None:
                self._stop()
        self._tar.pad(size)

    def _retimed(self, piece: bytes, source: File | None) -> bytes:
        """The first piece of a file; of a .pyc, as its source's new time wants it."""
        if source is None or self._epoch is None or len(piece) < HEADER_SIZE:
            return piece
        seconds = source.mtime_ns // 1_000_000_000
        return retimed(piece[:HEADER_SIZE], seconds, self._epoch) + piece[HEADER_SIZE:]

    def _tree_file(self, entry: Entry, data: TreeFile, fd: int, source: File | None) -> None:
        tree, seen = data.tree, data.seen
        path = f"{data.directory}/{seen.name}" if data.directory else seen.name
        now = time.time_ns()
        try:
            status = check(fd, seen, path, tree.name)
            entry.xattrs = attributes = read_attributes(fd)
            digests = self._digests.get(id(tree))
            if digests is not None and digests.find(seen) is not None:
                digests = None
            if status.st_size < LARGE:
                self._small(entry, fd, path, data, source, digests, now)
                return
            pieces = self._hashed(_large(fd, status, path, tree), digests is not None)
            self._contents(entry, status.st_size, pieces, source)
            check(fd, seen, path, tree.name)
        except OSError as error:
            raise explain(error, path, tree.name) from error
        if digests is not None:
            noted = digests
            self._hasher.finish(lambda digest: noted.add(seen, with_attributes(digest, attributes), now))

    def _small(
        self,
        entry: Entry,
        fd: int,
        path: str,
        data: TreeFile,
        source: File | None,
        digests: ContentDigests | None,
        now: int,
    ) -> None:
        seen = data.seen
        size = seen.size
        content = os.read(fd, size) if size else b""
        while len(content) < size and (piece := os.read(fd, size - len(content))):
            content += piece
        check(fd, seen, path, data.tree.name)
        if len(content) < size:
            raise changed(path, data.tree.name)
        if digests is not None:
            digest = with_attributes(hashlib.sha256(content).digest(), entry.xattrs)
            digests.add(seen, digest, now)
        entry.size = entry.real_size = size
        self._add(entry, content if source is None else self._retimed(content, source))

    def _hashed(self, pieces: Iterator[bytes], hashing: bool) -> Iterator[bytes]:
        for piece in pieces:
            if hashing:
                self._hasher.update(piece)
            yield piece


def _items(root: Directory) -> Iterator[_Item]:
    """What is in `root`, each directory's files before the directories in it."""
    pending = [(root, b"")]
    while pending:
        directory, base = pending.pop()
        if base:
            yield directory, b"", base, directory
        below: list[tuple[Directory, bytes]] = []
        for name, node in sorted(_encoded(directory.children), key=_first):
            if isinstance(node, Directory):
                below.append((node, base + name + b"/"))
            else:
                yield directory, name, base + name, node
        pending += below[::-1]


def _first(item: tuple[bytes, Node]) -> bytes:
    return item[0]


def _encoded(children: Mapping[str, Node]) -> Iterator[tuple[bytes, Node]]:
    for name, node in children.items():
        yield os.fsencode(name), node


def _large(fd: int, status: os.stat_result, path: str, tree: SourceTree) -> Iterator[bytes]:
    """All of a file that was seen with this status; what it has of holes is not read."""
    size = status.st_size
    if status.st_blocks * 512 >= size:
        regions: Iterator[tuple[int, int]] = iter(((0, size),))
    else:
        regions = _regions(fd, size)
    position = 0
    for start, end in regions:
        yield from _hole(start - position)
        position = start
        while position < end:
            piece = os.pread(fd, min(PIECE, end - position), position)
            if not piece:
                raise changed(path, tree.name)
            position += len(piece)
            yield piece
    yield from _hole(size - position)


def _regions(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what is data in a file."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:
            return  # nothing but a hole to the end
        position = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < position:
            yield start, position


def _hole(size: int) -> Iterator[bytes]:
    while size >= PIECE:
        yield ZEROS
        size -= PIECE
    if size > 0:
        yield bytes(size)


def _extent(extent: Extent) -> Iterator[bytes]:
    """A member of an archive that was spooled."""
    regions = extent.sparse if extent.sparse is not None else [(0, extent.size)]
    position, offset = 0, extent.offset
    for start, length in regions:
        yield from _hole(start - position)
        end = offset + length
        while offset < end:
            piece = os.pread(extent.fd, min(PIECE, end - offset), offset)
            if not piece:
                raise InvalidArgument("an archive changed while it was unpacked: build again")
            offset += len(piece)
            yield piece
        position = start + length
    yield from _hole(extent.size - position)
