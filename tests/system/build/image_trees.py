"""The file system of an image as a docker-archive has it: its layers one over the other, not unpacked."""

from __future__ import annotations

import hashlib
import json
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_WHITEOUT, _OPAQUE, _XATTR = ".wh.", ".wh..wh..opq", "SCHILY.xattr."


@dataclass(frozen=True)
class Node:
    """What a name in a tree is; `content` is a digest of bytes, a link's target or a device's numbers,
    `links` are all the names of a file."""

    mode: str
    owner: tuple[int, int]
    content: str = ""
    xattrs: tuple[tuple[str, str], ...] = ()
    links: tuple[str, ...] = ()


@dataclass
class _Inode:
    mode: int
    owner: tuple[int, int]
    content: str
    xattrs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ImageTree:
    """`config` is the image's, whole; `times` are the seconds of every entry of the layers but the first."""

    config: dict[str, Any]
    nodes: dict[str, Node]
    times: frozenset[int] = field(default=frozenset())

    @property
    def run(self) -> dict[str, Any]:
        """How a container starts, without what is empty."""
        return {key: value for key, value in self.config["config"].items() if value}


def read_image(archive: Path) -> ImageTree:
    """The only image of a docker-archive."""
    with tarfile.open(archive) as tar:
        [image] = json.load(_open(tar, "manifest.json"))
        config = json.load(_open(tar, image["Config"]))
        names: dict[str, _Inode] = {}
        times: set[int] = set()
        for number, layer in enumerate(image["Layers"]):
            with tarfile.open(fileobj=_open(tar, layer)) as entries:
                seen = _apply(names, entries)
                times |= seen if number else set()
    return ImageTree(config, dict(_nodes(names)), frozenset(times))


def _open(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.getmember(name)
    while member.issym():
        member = tar.getmember(str(Path(member.name).parent / member.linkname))
    file = tar.extractfile(member)
    assert file is not None, name
    return file


def _apply(names: dict[str, _Inode], layer: tarfile.TarFile) -> set[int]:
    """A layer over what is below; whiteouts of a layer hide what is below only, wherever they stand."""
    members = [(_clean(member.name), member) for member in layer]
    times: set[int] = set()
    for name, _ in members:
        parent, _, last = name.rpartition("/")
        if last == _OPAQUE:
            _remove(names, parent, itself=False)
        elif last.startswith(_WHITEOUT):
            _remove(names, f"{parent}/{last.removeprefix(_WHITEOUT)}".lstrip("/"))
    for name, member in members:
        if name.rpartition("/")[2].startswith(_WHITEOUT):
            continue
        times.add(int(member.mtime))
        if member.islnk():
            names[name] = names[_clean(member.linkname)]
            continue
        inode = _inode(layer, member)
        if not stat.S_ISDIR(inode.mode):
            _remove(names, name)
        names[name] = inode
    return times


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _remove(names: dict[str, _Inode], path: str, *, itself: bool = True) -> None:
    if itself:
        names.pop(path, None)
    for name in [name for name in names if name.startswith(f"{path}/" if path else "")]:
        del names[name]


def _inode(layer: tarfile.TarFile, member: tarfile.TarInfo) -> _Inode:
    content = ""
    if member.isreg():
        file = layer.extractfile(member)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()
    elif member.issym():
        content = member.linkname
    elif member.ischr() or member.isblk():
        content = f"{member.devmajor}:{member.devminor}"
    mode = _KINDS[member.type] | (0o777 if member.issym() else stat.S_IMODE(member.mode))
    xattrs = tuple(
        sorted(
            (key.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape").hex())
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        )
    )
    return _Inode(mode, (member.uid, member.gid), content, xattrs)


def _nodes(names: dict[str, _Inode]) -> Iterator[tuple[str, Node]]:
    shared: dict[int, list[str]] = {}
    for name, inode in names.items():
        shared.setdefault(id(inode), []).append(name)
    for name, inode in sorted(names.items()):
        links = tuple(sorted(shared[id(inode)]))
        mode = stat.filemode(inode.mode)
        yield name, Node(mode, inode.owner, inode.content, inode.xattrs, links if len(links) > 1 else ())
