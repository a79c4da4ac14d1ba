"""Packs: contents of files as tars, whose members are named by their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

from corten.build.cache_transfer.document import MOUNT_PACK_TYPE
from corten.build.cache_transfer.mount_index import MountFile, has_contents, open_directory
from corten.build.context.model import Stop
from corten.content import ContentStore, Lease
from corten.image.compression import Compression, compressor
from corten.oci.descriptor import Descriptor
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter
from corten.snapshot.tree import open_regular

_ZSTD = Compression("zstd")
_PIECE = 1 << 20


def write_pack(
    content: ContentStore, lease: Lease, directory: int, files: Iterable[MountFile], stop: Stop
) -> tuple[Descriptor, dict[str, int]]:
    """A new pack of the contents of `files`, each once; the digests that are in it, with their sizes. A file
    that has changed since it was looked at is left out."""
    packed: dict[str, int] = {}
    with content.writer(lease=lease) as ingest:
        work = compressor(_ZSTD, ingest.write)
        try:
            tar = TarWriter(lambda data: work.write(bytes(data)))
            for file in sorted(files, key=lambda file: file.digest):
                if file.digest not in packed and _add(tar, directory, file, stop):
                    packed[file.digest] = file.size
            tar.finish()
            work.finish()
        finally:
            work.close()
        digest = ingest.commit()
        return Descriptor(MOUNT_PACK_TYPE, digest, ingest.written), packed


def _add(tar: TarWriter, directory: int, file: MountFile, stop: Stop) -> bool:
    """A header cannot be taken back: so the contents are read twice, which for what was just hashed costs
    little."""
    above, _, name = file.path.rpartition(b"/")
    parent = open_directory(directory, above)
    if parent is None:
        return False
    try:
        fd = open_regular(name, parent)
    finally:
        os.close(parent)
    if fd is None:
        return False
    try:
        if _digest(fd, stop) != (file.digest, file.size):
            return False
        entry = Entry(file.digest.encode())
        entry.size = entry.real_size = file.size
        tar.add(entry)
        os.lseek(fd, 0, os.SEEK_SET)
        left = file.size
        while left:
            piece = os.read(fd, min(left, _PIECE)) or bytes(min(left, _PIECE))
            tar.data(piece)
            left -= len(piece)
        tar.pad(file.size)
        return True
    finally:
        os.close(fd)


def _digest(fd: int, stop: Stop) -> tuple[str, int]:
    found = hashlib.sha256()
    size = 0
    while piece := os.read(fd, _PIECE):
        stop()
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def contents_of(files: Sequence[MountFile]) -> dict[str, int]:
    """The digests of all contents, with their sizes."""
    return {file.digest: file.size for file in files if has_contents(file)}
