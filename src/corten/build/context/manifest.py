"""A selection written down: what its digest is the digest of, and what two of them differ in.

A manifest is a sequence of records: path (relative to what was selected), NUL, kind (1 byte), mode, owner,
group (4 bytes each, big-endian), and 32 bytes that depend on the kind:

    f  regular file: digest of its content and attributes    l  symbolic link: digest of its target
    d  directory: digest of its attributes                   i  directory that only leads to something
    h  hard link: digest of the path that came first         p c b  pipe, device: its number
    T  what follows are the contents of a directory          S  what follows is one file

The T record of a directory that is copied as such, and not only its contents, has its name and what a d
record has.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from corten.build.context.beneath import Directories, explain
from corten.build.context.contents import ContentDigests, attributes_digest
from corten.build.context.model import Selection, Stop
from corten.build.context.seen_file import SeenFile
from corten.build.context.selection import Match
from corten.build.context.walk import Listing

_TAIL = struct.Struct(">cIII32s")
_ZERO = bytes(32)
_SPECIAL = {stat.S_IFIFO: b"p", stat.S_IFCHR: b"c", stat.S_IFBLK: b"b"}


def describe(
    digests: ContentDigests, matches: Iterable[Match], *, contents: bool, stop: Stop | None = None
) -> Selection:
    """The selection of `matches`, with what `digests` knows of their contents; what it does not know is read.
    `contents`: as `Copy.contents_of_directory`."""
    writer = _Writer(digests)
    try:
        for match in matches:
            writer.match(match, contents)
        writer.complete(stop)
    finally:
        writer.close()
    manifest = b"".join(writer.records)
    digest = hashlib.sha256(manifest).hexdigest()
    return Selection(f"sha256:{digest}", manifest, writer.files, writer.size)


class _Writer:
    """What is known is written down at once, so that little of a large tree is in memory at a time."""

    def __init__(self, digests: ContentDigests) -> None:
        self.records: list[bytes] = []
        self.files = 0
        self.size = 0
        self._digests = digests
        self._tree = digests.tree
        self._directories = Directories(self._tree.root)
        self._links: dict[bytes, bytes] = {}
        self._missing: list[tuple[int, str, SeenFile, bytes]] = []

    def close(self) -> None:
        self._directories.close()

    def complete(self, stop: Stop | None) -> None:
        """Fills in what had to be read."""
        missing = self._missing
        self._digests.complete([(directory, file) for _, directory, file, _ in missing], stop=stop)
        for position, _directory, file, path in missing:
            digest = self._digests.find(file)
            assert digest is not None
            self.records[position] = self._regular(path, file, digest)

    def match(self, match: Match, contents: bool) -> None:
        self._links.clear()
        if match.file is not None:
            self._record(b"", b"S", 0, 0, 0, _ZERO)
            self._file(match.directory, match.file, os.fsencode(match.name))
            return
        for listing in match.listings:
            if listing.relative:
                kind = b"d" if listing.selected else b"i"
                self._directory(listing, os.fsencode(listing.relative), kind)
            elif contents:
                self._record(b"", b"T", 0, 0, 0, _ZERO)
            else:
                self._directory(listing, os.fsencode(match.name), b"T")
            base = os.fsencode(listing.relative) + b"/" if listing.relative else b""
            for file in listing.files:
                self._file(listing.path, file, base + os.fsencode(file.name))

    def _file(self, directory: str, file: SeenFile, path: bytes) -> None:
        """Anything but a directory."""
        self.files += 1
        kind = file.mode & 0o170000
        if kind == stat.S_IFREG:
            self.size += file.size
            if file.nlink > 1 and self._linked(file, path):
                return
            digest = self._digests.find(file)
            if digest is None:
                self._missing.append((len(self.records), directory, file, path))
                self.records.append(b"")
            else:
                self.records.append(self._regular(path, file, digest))
            return
        uid, gid = (file.uid, file.gid) if self._tree.keep_owners else (0, 0)
        if kind == stat.S_IFLNK:
            target = read_link(self._directories, directory, file.name, self._tree.name)
            digest = hashlib.sha256(os.fsencode(target)).digest()
            self._record(path, b"l", 0o777, uid, gid, digest)
        else:
            self._record(path, _SPECIAL[kind], file.mode & 0o7777, uid, gid, file.device.to_bytes(32, "big"))

    def _regular(self, path: bytes, file: SeenFile, digest: bytes) -> bytes:
        uid, gid = (file.uid, file.gid) if self._tree.keep_owners else (0, 0)
        return path + b"\0" + _TAIL.pack(b"f", file.mode & 0o7777, uid, gid, digest)

    def _linked(self, file: SeenFile, path: bytes) -> bool:
        """Writes down a further name of a file that has one already."""
        first = self._links.setdefault(file.inode, path)
        if first == path:
            return False
        self._record(path, b"h", 0, 0, 0, hashlib.sha256(first).digest())
        return True

    def _directory(self, listing: Listing, path: bytes, kind: bytes) -> None:
        status = listing.status
        uid, gid = (status.st_uid, status.st_gid) if self._tree.keep_owners else (0, 0)
        digest = attributes_digest(listing.attributes)
        self._record(path, kind, stat.S_IMODE(status.st_mode), uid, gid, digest)

    def _record(self, path: bytes, kind: bytes, mode: int, uid: int, gid: int, digest: bytes) -> None:
        self.records.append(path + b"\0" + _TAIL.pack(kind, mode, uid, gid, digest))


def read_link(directories: Directories, directory: str, name: str, tree: str) -> str:
    """The target of a symbolic link; what goes wrong is an error that names it."""
    try:
        return os.readlink(name, dir_fd=directories(directory))
    except OSError as error:
        raise explain(error, f"{directory}/{name}" if directory else name, tree) from error


@dataclass(frozen=True, slots=True)
class Difference:
    """`change` is added, removed, content, mode, owner or type."""

    path: str
    change: str


def differences(old: bytes, new: bytes) -> Iterator[Difference]:
    """What is different in manifest `new`, by path."""
    before, after = dict(_parse(old)), dict(_parse(new))
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one == other:
            continue
        shown = path.decode("utf-8", "surrogateescape")
        if one is None or other is None:
            yield Difference(shown, "added" if one is None else "removed")
        elif one[0] != other[0]:
            yield Difference(shown, "type")
        elif one[4] != other[4]:
            yield Difference(shown, "content")
        else:
            yield Difference(shown, "mode" if one[1] != other[1] else "owner")


def _parse(manifest: bytes) -> Iterator[tuple[bytes, tuple[bytes, int, int, int, bytes]]]:
    position = 0
    while position < len(manifest):
        end = manifest.index(b"\0", position)
        path = manifest[position:end]
        record = _TAIL.unpack_from(manifest, end + 1)
        position = end + 1 + _TAIL.size
        if path:
            yield path, record
