"""A layer's tar stream → the list of its members, within limits. Nothing is unpacked."""

from __future__ import annotations

import hashlib
import heapq
from typing import BinaryIO

import msgspec

from corten.errors import ArchiveError
from corten.registry.page.layers.list_file import Directory, FileEntry, Summary, write_list
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import Inflater, Read
from corten.snapshot.limits import Limits
from corten.snapshot.tar_reader import TarReader

LARGEST = 20
DEPTH = 2
"""Directories up to so deep are summed up."""
DIRECTORIES = 20
CONTENT = 16
"""Bytes of a digest that are kept: enough to tell that a file was changed."""

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"

_KINDS = {
    h.REGULAR: "file",
    h.REGULAR_OLD: "file",
    h.CONTIGUOUS: "file",
    h.DIRECTORY: "dir",
    h.SYMLINK: "link",
    h.HARD_LINK: "hardlink",
    h.CHARACTER: "device",
    h.BLOCK_DEVICE: "device",
    h.FIFO: "fifo",
}


class Bounds(msgspec.Struct, frozen=True):
    """How much of a layer is listed: entries, bytes of their names, and bytes of the inflated stream."""

    entries: int = 200_000
    names: int = 32 << 20
    bytes: int = 32 << 30


def list_layer(read: Read, output: BinaryIO, bounds: Bounds) -> None:
    """Writes the list of the layer that `read` gives, compressed as it was pushed. What is wrong with it, or
    too much, is told in the summary, and the list ends there."""
    entries: list[FileEntry] = []
    problem = ""
    names = 0
    try:
        limits = Limits(max_bytes=bounds.bytes)
        inflater = Inflater(read, limits=limits, what="layer")
        reader = TarReader(inflater.read, limits=limits, what="layer")
        for entry in reader:
            found = _entry(entry, reader)
            if found is None:
                continue
            names += len(found.path) + len(found.link)
            if len(entries) >= bounds.entries or names > bounds.names:
                problem = f"only its first {len(entries):,} files are listed"
                break
            entries.append(found)
    except ArchiveError as error:
        problem = error.message
    entries = _resolved(entries)
    entries.sort(key=lambda entry: entry.path)
    write_list(output, entries, _summary(entries, problem))


def _resolved(entries: list[FileEntry]) -> list[FileEntry]:
    """Hard links with the content of what they are another name of."""
    contents = {entry.path: entry.content for entry in entries if entry.kind == "file"}
    return [
        msgspec.structs.replace(entry, content=contents.get(entry.link, b""))
        if entry.kind == "hardlink"
        else entry
        for entry in entries
    ]


def normal(name: bytes) -> bytes:
    """A member's name without what means nothing: `./usr//bin/` is `usr/bin`. Names that lead out of the
    layer stay as they are, to be seen."""
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def _entry(entry: h.Entry, reader: TarReader) -> FileEntry | None:
    path = normal(entry.name)
    if not path:
        return None
    parent, _, name = path.rpartition(b"/")
    if name == OPAQUE:
        return FileEntry(parent, "opaque")
    if name.startswith(WHITEOUT):
        return FileEntry((parent + b"/" if parent else b"") + name[len(WHITEOUT) :], "removed")
    kind = _KINDS.get(entry.type, "device")
    content = b""
    if kind == "file":
        digest = hashlib.sha256()
        for piece in reader.data():
            digest.update(piece)
        content = digest.digest()[:CONTENT]
    link = entry.linkname if kind == "link" else normal(entry.linkname) if kind == "hardlink" else b""
    size = entry.real_size if kind == "file" else 0
    return FileEntry(path, kind, size, entry.mode, entry.uid, entry.gid, link, content)


def _summary(entries: list[FileEntry], problem: str) -> Summary:
    files = [entry for entry in entries if entry.kind in ("file", "link", "hardlink", "device", "fifo")]
    below: dict[bytes, list[int]] = {}
    for entry in files:
        parts = entry.path.split(b"/", DEPTH)[:-1]
        directory = b"/".join(parts[:DEPTH])
        total = below.setdefault(directory, [0, 0])
        total[0] += 1
        total[1] += entry.size
    largest = heapq.nlargest(LARGEST, (e for e in files if e.size), key=lambda entry: entry.size)
    directories = heapq.nlargest(
        DIRECTORIES,
        (Directory(path, count, size) for path, (count, size) in below.items()),
        key=lambda directory: directory.size,
    )
    return Summary(
        count=len(entries),
        files=len(files),
        directories=sum(1 for entry in entries if entry.kind == "dir"),
        removed=sum(1 for entry in entries if entry.kind in ("removed", "opaque")),
        bytes=sum(entry.size for entry in files),
        largest=largest,
        by_directory=directories,
        problem=problem,
    )
