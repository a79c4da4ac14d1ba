"""Reading image archives: docker-archive (old and new layouts), OCI archive and OCI layout directory.

The stream is read once, front to back. Its manifest may stand at its end, so every file becomes a blob as
it comes (small ones wait in memory), and what looks like a layer begins to be unpacked while the next one
is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from corten.content import ContentStore, Ingest, Lease
from corten.errors import ArchiveError, IntegrityError
from corten.image.model import Progress, Report
from corten.oci.digest import Digest, is_digest, sha256_of
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import PIECE, Inflater, compression_of
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.snapshotter import Session
from corten.snapshot.tar_reader import TarReader

_SMALL = 1 << 20
_SMALL_TOTAL = 64 << 20
_MAX_FILES = 20_000
_MAX_LINKS = 16
_REPORT_EVERY = 16 << 20


class ByteSource(Protocol):
    """What archives are read from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class ArchiveFile:
    """A file of the archive: in memory (`data`), or in the content store already."""

    digest: Digest
    size: int
    compression: str
    data: bytes | None = None


@dataclass(slots=True)
class Archive:
    """The files of an archive by name, its links followed."""

    files: dict[str, ArchiveFile] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> ArchiveFile | None:
        """The file `name`, or the one its links lead to."""
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            if name in self.files or name not in self.links:
                return self.files.get(name)
            name = self.links[name]
        raise ArchiveError(f"the image archive is refused: {name!r} goes round in links")


class ArchiveReader:
    """Takes an archive's files into the content store under `lease`."""

    def __init__(self, content: ContentStore, lease: Lease, session: Session, report: Report) -> None:
        self._content = content
        self._lease = lease
        self._session = session
        self._report = report
        self._archive = Archive()
        self._memory = 0
        self._commits: list[tuple[Future[None], Ingest]] = []

    def read_stream(self, stream: ByteSource, *, limits: Limits = DEFAULT_LIMITS) -> Archive:
        """All files of a (compressed) tar."""
        what = "image archive"
        limits = replace(limits, max_entries=_MAX_FILES)
        inflater = Inflater(stream.read, limits=limits, what=what)
        reader = TarReader(inflater.read, limits=limits, require_end=True, what=what)
        with self._committing() as pool:
            for entry in reader:
                name = _clean(os.fsdecode(entry.name))
                if entry.type == h.SYMLINK:
                    self._archive.links[name] = _join(name, os.fsdecode(entry.linkname))
                elif entry.type == h.HARD_LINK:
                    self._archive.links[name] = _clean(os.fsdecode(entry.linkname))
                elif entry.type in (h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS) and entry.sparse is None:
                    self._file(name, entry.size, reader.data(), pool)
                elif entry.type != h.DIRECTORY:
                    raise ArchiveError(f"the image archive is refused: {name!r} is no file or link")
        return self._archive

    def read_directory(self, path: str) -> Archive:
        """All files of an OCI layout directory (index.json, oci-layout, manifest.json and blobs/)."""
        root = Path(path)
        names = [name for name in ("oci-layout", "index.json", "manifest.json") if (root / name).is_file()]
        if "index.json" not in names:
            raise ArchiveError(f"{path} is no OCI image layout: it has no index.json")
        blobs = sorted(blob for blob in root.glob("blobs/*/*") if blob.is_file())
        with self._committing() as pool:
            for name in (*names, *(str(blob.relative_to(root)) for blob in blobs)):
                with (root / name).open("rb", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    self._file(name, size, _pieces(file.read), pool)
        return self._archive

    @contextmanager
    def _committing(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that wait for the disk; at the end all blobs are committed, or none is half-written."""
        try:
            with ThreadPoolExecutor(2, thread_name_prefix="archive") as pool:
                try:
                    yield pool
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
            for future, _ in self._commits:
                future.result()
        finally:
            for _, ingest in self._commits:
                ingest.abort()
            self._commits.clear()

    def _file(
        self, name: str, size: int, pieces: Iterator[memoryview | bytes], pool: ThreadPoolExecutor
    ) -> None:
        expected = _expected_digest(name)
        if size <= _SMALL and (expected is None or expected.startswith("sha256:")):
            data = b"".join(pieces)
            self._memory += len(data)
            if self._memory > _SMALL_TOTAL:
                raise ArchiveError("this is no image archive: it holds too many small files")
            digest = sha256_of(data)
            _compare(name, expected, digest)
            self._archive.files[name] = ArchiveFile(digest, size, compression_of(data[:6]), data)
            return
        ingest = self._content.writer(expected, size=size, lease=self._lease)
        try:
            head = self._spool(name, size, pieces, ingest)
            digest = ingest.verify()
            known = self._content.contains(digest)
        except BaseException:
            ingest.abort()
            raise
        self._archive.files[name] = ArchiveFile(digest, size, compression_of(head[:6]))
        stage = not known and (compression_of(head[:6]) != "plain" or head[257:262] == b"ustar")
        self._commits.append((pool.submit(self._commit, ingest, digest, stage), ingest))

    def _spool(self, name: str, size: int, pieces: Iterator[memoryview | bytes], ingest: Ingest) -> bytes:
        head = b""
        reported = 0
        label = name.rpartition("/")[2][:12]
        for piece in pieces:
            if len(head) < 512:
                head += bytes(piece[:512])
            ingest.write(piece)
            if ingest.written - reported >= _REPORT_EVERY:
                reported = ingest.written
                self._report(Progress("Loading layer", label, ingest.written, size))
        self._report(Progress("Loading layer", label, size, size))
        return head

    def _commit(self, ingest: Ingest, digest: Digest, stage: bool) -> None:
        """In a thread: the wait for the disk overlaps with reading on."""
        ingest.commit()
        if stage:
            self._session.stage(str(self._content.path(digest)), digest)

    def store(self, file: ArchiveFile) -> None:
        """Makes a blob of a file that waited in memory."""
        if file.data is not None:
            self._content.add(file.data, expected=file.digest, lease=self._lease)
            file.data = None


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(PIECE):
        yield piece


def _clean(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"the image archive is refused: {name[:200]!r} leaves its directory by '..'")
    return "/".join(parts)


def _join(name: str, target: str) -> str:
    """A symbolic link's target as a name in the archive (`../<id>/layer.tar`, as old Dockers wrote)."""
    parts = name.split("/")[:-1] if not target.startswith("/") else []
    for part in target.split("/"):
        if part == "..":
            if not parts:
                raise ArchiveError(f"the image archive is refused: link {name[:200]!r} leads out of it")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _expected_digest(name: str) -> Digest | None:
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "blobs" and is_digest(f"{parts[1]}:{parts[2]}"):
        return Digest(f"{parts[1]}:{parts[2]}")
    return None


def _compare(name: str, expected: Digest | None, digest: Digest) -> None:
    if expected is not None and expected != digest:
        raise IntegrityError(f"digest mismatch: {name} in the archive has the digest {digest}")
