"""Tars for tests, made by Python's tarfile: a second pair of eyes on the format."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from corten.snapshot.overlay_marks import probe
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.unpack import Unpacked, Unpacker


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, mode: int = 0o755, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def device(name: str, major: int, minor: int) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.CHRTYPE, devmajor=major, devminor=minor)


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()


def reader_of(data: bytes, *, piece: int = 1 << 20, **options: object) -> TarReader:
    return TarReader(read_from(data, piece), **options)  # type: ignore[arg-type]


def read_from(data: bytes, piece: int = 1 << 20) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda size: stream.read(min(size, piece))


def unpack(data: bytes, root: Path, **options: object) -> Unpacked:
    """Unpacks a layer into `root`, as a worker does (with umask 0)."""
    root.mkdir(exist_ok=True)
    before = os.umask(0)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        marks = probe(str(root.parent))
        return Unpacker(fd, marks, **options).unpack(reader_of(data))  # type: ignore[arg-type]
    finally:
        os.close(fd)
        os.umask(before)


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))
