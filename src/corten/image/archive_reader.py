"""Reading image archives: docker-archive (old and new layouts), OCI archive and OCI layout directory.

The manifest may stand at an archive's end, so every file becomes a blob as it comes (small ones wait in
memory), and what looks like a layer is unpacked at the same time. A stream is read once, front to back. Of a
file the headers are read, and then all its large files side by side (`archive_intake`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from corten.content import ContentStore, Ingest, Lease
from corten.errors import ArchiveError, IntegrityError, NotFound, Unavailable
from corten.image.archive_intake import LayerIntake
from corten.image.model import Progress, Report
from corten.linux.page_cache import ReadOnce
from corten.oci.digest import Digest, is_digest, sha256_of
from corten.snapshot import tar_header as h
from corten.snapshot.growing import Growing
from corten.snapshot.inflate import PIECE, Inflater, compression_of
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.snapshotter import Session, Staged
from corten.snapshot.tar_reader import TarReader

_SMALL = 1 << 20
_SMALL_TOTAL = 64 << 20
_MAX_FILES = 20_000
_MAX_LINKS = 16
_REPORT_EVERY = 16 << 20
_WHAT = "image archive"
_HEADERS = 64 << 10  # is read at a time where there are only headers to be read


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
        self._commits: list[tuple[Future[Digest], Ingest]] = []

    def read_stream(self, stream: ByteSource, *, limits: Limits = DEFAULT_LIMITS) -> Archive:
        """All files of a (compressed) tar."""
        limits = replace(limits, max_entries=_MAX_FILES)
        inflater = Inflater(stream.read, limits=limits, what=_WHAT)
        reader = TarReader(inflater.read, limits=limits, require_end=True, what=_WHAT)
        with self._committing() as pool:
            for name, entry in self._entries(reader):
                self._file(name, entry.size, reader.data(), pool)
        return self._archive

    def read_file(self, intake: LayerIntake, *, limits: Limits = DEFAULT_LIMITS) -> Archive:
        """All files of a tar that is a file."""
        fd, start = intake.archive.fd, intake.archive.offset
        if compression_of(os.pread(fd, 6, start)) != "plain":
            return self.read_stream(_Part(fd, start, intake.archive.given_up), limits=limits)
        offset = start

        def read(size: int) -> bytes:
            nonlocal offset
            piece = os.pread(fd, min(size, _HEADERS), offset)
            offset += len(piece)
            return piece

        def skip(size: int) -> None:
            nonlocal offset
            offset += size

        limits = replace(limits, max_entries=_MAX_FILES)
        reader = TarReader(read, limits=limits, require_end=True, what=_WHAT, skip=skip)
        compressions: dict[str, str] = {}
        with self._committing() as pool:
            for name, entry in self._entries(reader):
                head = os.pread(fd, min(512, entry.size), start + reader.offset)
                expected = _expected_digest(name)
                known = expected or _hinted_digest(name)
                if known is not None and _is_layer(head) and (stored := self._stored(known)) is not None:
                    # Whatever the archive has under this name: it is the store's that is used and verified.
                    self._archive.files[name] = stored
                elif entry.size > _SMALL and _is_layer(head):
                    compressions[name] = compression_of(head[:6])
                    intake.begin(self._session, name, reader.offset, entry.size, expected)
                else:
                    self._file(name, entry.size, reader.data(), pool)
        for name, size, digest in intake.finish(self._session, self._lease):
            _compare(name, _expected_digest(name), digest)
            self._archive.files[name] = ArchiveFile(digest, size, compressions[name])
        return self._archive

    def _stored(self, digest: Digest) -> ArchiveFile | None:
        """A blob that the store has already; pinned first, so that it stays."""
        self._lease.pin(digest)
        try:
            fd = self._content.open(digest)
        except NotFound:
            return None
        try:
            return ArchiveFile(digest, os.fstat(fd).st_size, compression_of(os.pread(fd, 6, 0)))
        finally:
            os.close(fd)

    def _entries(self, reader: TarReader) -> Iterator[tuple[str, h.Entry]]:
        """The archive's files; its links are noted."""
        for entry in reader:
            name = _clean(os.fsdecode(entry.name))
            if entry.type == h.SYMLINK:
                self._archive.links[name] = _join(name, os.fsdecode(entry.linkname))
            elif entry.type == h.HARD_LINK:
                self._archive.links[name] = _clean(os.fsdecode(entry.linkname))
            elif entry.type in (h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS) and entry.sparse is None:
                yield name, entry
            elif entry.type != h.DIRECTORY:
                raise ArchiveError(f"the image archive is refused: {name!r} is no file or link")

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
        following = _Following(ingest, size, self._session)
        try:
            head = self._spool(name, size, pieces, ingest, following)
            digest = ingest.verify()
        except BaseException as error:
            following.fail(error)
            ingest.abort()
            raise
        following.finish(digest)
        self._archive.files[name] = ArchiveFile(digest, size, compression_of(head[:6]))
        self._commits.append((pool.submit(ingest.commit), ingest))

    def _spool(
        self,
        name: str,
        size: int,
        pieces: Iterator[memoryview | bytes],
        ingest: Ingest,
        following: _Following,
    ) -> bytes:
        head = b""
        reported = 0
        label = name.rpartition("/")[2][:12]
        known = _expected_digest(name)
        wanted = known is None or not self._content.contains(known)
        for piece in pieces:
            begun = len(head) >= 512
            if not begun:
                head += bytes(piece[:512])
            ingest.write(piece)
            if not begun and len(head) >= 512 and wanted and _is_layer(head):
                following.begin()
            following.advance(ingest.written)
            if ingest.written - reported >= _REPORT_EVERY:
                reported = ingest.written
                self._report(Progress("Loading layer", label, ingest.written, size))
        self._report(Progress("Loading layer", label, size, size))
        return head

    def store(self, file: ArchiveFile) -> None:
        """Makes a blob of a file that waited in memory."""
        if file.data is not None:
            self._content.add(file.data, expected=file.digest, lease=self._lease)
            file.data = None


class _Following:
    """The worker that unpacks a layer while it is spooled, once `begin` is called. It reads the open file, so
    that it does not matter when that gets its name."""

    def __init__(self, ingest: Ingest, size: int, session: Session) -> None:
        self._ingest = ingest
        self._size = size
        self._session = session
        self._growing: Growing | None = None
        self._staged: Future[Staged] | None = None

    def begin(self) -> None:
        fd = os.dup(self._ingest.fileno())
        path = f"/proc/{os.getpid()}/fd/{fd}"
        self._growing = Growing(path, path, self._size)
        try:
            self._staged = self._session.stage(self._growing)
        except BaseException:
            os.close(fd)
            raise
        self._staged.add_done_callback(lambda _: os.close(fd))

    def advance(self, written: int) -> None:
        if self._growing is not None:
            self._growing.advance(written)

    def finish(self, digest: Digest) -> None:
        if self._growing is not None and self._staged is not None:
            self._growing.finish()
            self._session.found(digest, self._staged)

    def fail(self, error: BaseException) -> None:
        if self._growing is not None:
            self._growing.fail(error)


class _Part:
    """A ByteSource: a file from some place on."""

    def __init__(self, fd: int, offset: int, given_up: threading.Event) -> None:
        self._source = ReadOnce(fd)
        self._offset = offset
        self._given_up = given_up

    def read(self, size: int, /) -> bytes:
        if self._given_up.is_set():
            raise Unavailable("the load was given up")
        piece = self._source.pread(size, self._offset)
        self._offset += len(piece)
        return piece


def _is_layer(head: bytes) -> bool:
    """Whether what begins so may be one: only a try tells."""
    return compression_of(head[:6]) != "plain" or head[257:262] == b"ustar"


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


def _hinted_digest(name: str) -> Digest | None:
    """What podman and skopeo call a layer in a docker-archive: a hint, which nothing may rely on."""
    digest = f"sha256:{name.removesuffix('.tar')}"
    return Digest(digest) if name.endswith(".tar") and is_digest(digest) else None


def _compare(name: str, expected: Digest | None, digest: Digest) -> None:
    if expected is not None and expected != digest:
        raise IntegrityError(f"digest mismatch: {name} in the archive has the digest {digest}")
