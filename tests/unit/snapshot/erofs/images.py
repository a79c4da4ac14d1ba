"""Images of layers, for tests."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from corten.snapshot.erofs.image_reader import ImageReader
from corten.snapshot.erofs.layer_index import Indexed, index_layer
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from tests.unit.snapshot.archives import reader_of


def index(data: bytes, image: Path, *, in_tar: bool = False, limits: Limits = DEFAULT_LIMITS) -> Indexed:
    """Writes the image of the layer `data`; with `in_tar`, the tar itself stands beside it (.tar)."""
    fd = os.open(image, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if in_tar:
            image.with_suffix(".tar").write_bytes(data)
        reader = reader_of(data, limits=limits)
        return index_layer(reader, fd, device_size=(lambda: len(data)) if in_tar else None, limits=limits)
    finally:
        os.close(fd)


def listing(image: Path) -> dict[str, tuple[object, ...]]:
    """What the reader finds: type and permissions, owner, size, time, links, device, target, attributes."""
    found: dict[str, tuple[object, ...]] = {}
    with ImageReader(image) as reader:
        for path, inode in ((item.path, item.inode) for item in reader.walk()):
            found[os.fsdecode(path)] = (
                oct(inode.mode),
                inode.uid,
                inode.gid,
                0 if stat.S_ISDIR(inode.mode) else inode.size,
                inode.mtime_ns,
                inode.nlink,
                inode.rdev,
                reader.target(inode) if stat.S_ISLNK(inode.mode) else b"",
                tuple(sorted(reader.xattrs(inode).items())),
            )
    return found


def contents(image: Path, name: str) -> bytes:
    """A file's, put together from its extents."""
    with ImageReader(image) as reader:
        inode = reader.find(os.fsencode(name))
        assert inode is not None
        data = bytearray(inode.size)
        for offset, length, device, start in reader.extents(inode):
            with (image.with_suffix(".tar") if device else image).open("rb") as file:
                file.seek(start)
                data[offset : offset + length] = file.read(length)
        return bytes(data)
