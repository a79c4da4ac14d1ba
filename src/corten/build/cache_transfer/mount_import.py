"""Cache mounts on their way in: fetched when a step is about to use one that is new here."""

from __future__ import annotations

import errno
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corten.build.cache_transfer.inflate import inflated
from corten.build.cache_transfer.mount_index import (
    DIRECTORY,
    HARD_LINK,
    LINK,
    MAX_INDEX_BYTES,
    MAX_INFLATED_INDEX_BYTES,
    MountFile,
    MountIndex,
    decode_index,
    has_contents,
)
from corten.build.cache_transfer.sources import CacheSource
from corten.build.context.model import Stop
from corten.build.export.concurrency import all_of, in_thread
from corten.content import Lease
from corten.errors import ArchiveError, CortenError, IntegrityError, NoSpace
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.snapshot.inflate import Inflater
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tree import Tree, split

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ImportedMount:
    """A cache mount of a source: nothing of it is here yet."""

    source: CacheSource
    index: Descriptor
    packs: tuple[Descriptor, ...]


async def read_index(source: CacheSource, index: Descriptor, packs: int) -> MountIndex:
    """The files of a mount. IntegrityError, NotFound, Unavailable."""
    data = await source.document(index, MAX_INDEX_BYTES)
    what = "list of files of a cache mount"
    return await in_thread(lambda: decode_index(inflated(data, MAX_INFLATED_INDEX_BYTES, what), packs))


class MountImport:
    """`solve.protocols.MountFiller` for one build: `mounts` by id. Blobs are pinned by `lease`."""

    def __init__(self, store: ImageStore, lease: Lease, mounts: Mapping[str, ImportedMount]) -> None:
        self._store = store
        self._lease = lease
        self._mounts = dict(mounts)

    async def fill(self, id: str, directory: int) -> bool:
        """See MountFiller."""
        mount = self._mounts.get(id)
        if mount is None:
            return False
        index = await read_index(mount.source, mount.index, len(mount.packs))
        await all_of(self._bring(mount.source, pack) for pack in mount.packs)
        packs = [self._store.content.path(pack.digest) for pack in mount.packs]
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise CortenError("the import of a cache mount was given up")

        await in_thread(lambda: restore(directory, index, packs, check), stop.set)
        return True

    async def _bring(self, source: CacheSource, pack: Descriptor) -> None:
        self._lease.pin(pack.digest)
        if self._store.content.contains(pack.digest):
            return
        share = self._store.transfers.join(pack, source.blob, lambda done, complete: None)
        try:
            await share.finished()
        finally:
            await self._store.transfers.leave(share)


def restore(directory: int, index: MountIndex, packs: Sequence[Path], stop: Stop = lambda: None) -> None:
    """Makes the files of `index` in the empty directory behind a descriptor; `packs` are verified blobs.
    ArchiveError, IntegrityError, NoSpace."""
    try:
        _Restore(directory, index, stop).run(packs)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("cannot restore a cache mount: the disk is full") from error
        raise ArchiveError(f"cannot restore a cache mount: {error.strerror}") from error


class _Restore:
    """Nothing is believed: paths stay beneath the directory, links are made last and never followed, what is
    there twice is an error."""

    def __init__(self, directory: int, index: MountIndex, stop: Stop) -> None:
        self._root = directory
        self._index = index
        self._stop = stop
        self._tree = Tree(directory)

    def run(self, packs: Sequence[Path]) -> None:
        files = self._index.files
        try:
            directories = [file for file in files if file.kind == DIRECTORY]
            for file in directories:
                self._tree.directory(split(file.path))
            wanted: list[defaultdict[bytes, list[MountFile]]] = [defaultdict(list) for _ in packs]
            for file in files:
                if has_contents(file):
                    wanted[file.pack][file.digest.encode()].append(file)
                elif file.kind not in (DIRECTORY, LINK, HARD_LINK):
                    os.close(self._create(file))
            for pack, contents in zip(packs, wanted, strict=True):
                if contents:
                    self._unpack(pack, contents)
            for file in files:
                if file.kind in (LINK, HARD_LINK):
                    self._link(file)
            for file in sorted(directories, key=lambda file: file.path, reverse=True):
                self._attributes(self._tree.directory(split(file.path), make=False), file)
        finally:
            self._tree.close()

    def _unpack(self, pack: Path, contents: dict[bytes, list[MountFile]]) -> None:
        with pack.open("rb", buffering=0) as source:
            reader = TarReader(Inflater(source.read, what="cache mount").read, what="cache mount")
            while contents and (entry := reader.next()) is not None:
                self._stop()
                files = contents.pop(entry.name, None)
                if files is None:
                    continue
                if any(file.size != entry.size for file in files) or entry.sparse is not None:
                    raise IntegrityError(
                        "a cache mount of the build cache is damaged: a file has another size"
                    )
                self._fill(files, reader)
        if contents:
            raise IntegrityError("a cache mount of the build cache is damaged: contents are missing")

    def _fill(self, files: Sequence[MountFile], reader: TarReader) -> None:
        fd = self._create(files[0])
        try:
            for piece in reader.data():
                _write(fd, piece)
            for file in files[1:]:
                self._copy(files[0], file)
            self._attributes(fd, files[0])
        finally:
            os.close(fd)

    def _copy(self, original: MountFile, file: MountFile) -> None:
        """Another file with the same contents."""
        path = split(original.path)
        source = os.open(
            path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._tree.directory(path[:-1])
        )
        try:
            fd = self._create(file)
            try:
                while piece := os.read(source, _PIECE):
                    self._stop()
                    _write(fd, piece)
                self._attributes(fd, file)
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _create(self, file: MountFile) -> int:
        path = split(file.path)
        if not path:
            raise ArchiveError("a cache mount of the build cache is refused: its root is no directory")
        fd = os.open(path[-1], _CREATE, 0o600, dir_fd=self._tree.directory(path[:-1]))
        if not has_contents(file):
            self._attributes(fd, file)
        return fd

    def _link(self, file: MountFile) -> None:
        path = split(file.path)
        if not path:
            raise ArchiveError("a cache mount of the build cache is refused: its root is no directory")
        if file.kind == HARD_LINK:
            target = split(file.target)
            if not target:
                raise ArchiveError("a cache mount of the build cache is refused: a link points to nothing")
            source = os.dup(self._tree.directory(target[:-1], make=False))
            try:
                os.link(
                    target[-1],
                    path[-1],
                    src_dir_fd=source,
                    dst_dir_fd=self._tree.directory(path[:-1]),
                    follow_symlinks=False,
                )
            finally:
                os.close(source)
            return
        parent = self._tree.directory(path[:-1])
        os.symlink(file.target, path[-1], dir_fd=parent)
        _owned(lambda: os.chown(path[-1], file.uid, file.gid, dir_fd=parent, follow_symlinks=False))
        os.utime(path[-1], ns=(file.mtime_ns, file.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _attributes(self, fd: int, file: MountFile) -> None:
        _owned(lambda: os.fchown(fd, file.uid, file.gid))
        os.fchmod(fd, file.mode)
        os.utime(fd, ns=(file.mtime_ns, file.mtime_ns))


def _owned(chown: Callable[[], None]) -> None:
    """An ordinary user has not all ids."""
    try:
        chown()
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise


def _write(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
