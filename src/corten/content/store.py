"""Blobs by digest: an OCI image layout on disk, write-once, safe against crashes and concurrent writers.

::

    content/
      oci-layout                 {"imageLayoutVersion":"1.0.0"}
      index.json                 the tagged images, for skopeo, umoci and others that read layouts
      blobs/<algorithm>/<hex>    fsynced before it gets its name
      ingest/<random>            what is being written; removed by `recover`
      ingest/<digest>.partial    a download that broke off; kept for a week, resumed by the next one

A blob that someone is about to use is pinned by a lease; `collect` removes only what nobody pins or reaches.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from corten.content.ingest import Ingest
from corten.errors import IntegrityError, NoSpace, NotFound
from corten.oci.digest import Digest, algorithm_of, hex_of, is_digest, sha256_of
from corten.oci.manifest import OCI_INDEX, Index

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
ALGORITHMS = ("sha256", "sha512")
_PARTIAL = ".partial"
_PARTIAL_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob in the store. `size` in bytes, `mtime_ns` since 1970."""

    digest: Digest
    size: int
    mtime_ns: int


class Lease:
    """Pins blobs against `ContentStore.collect` until it is closed (a context manager)."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._pinned: list[str] = []

    def pin(self, digest: str) -> None:
        """Keeps `digest`, whether it exists already or is yet to be written."""
        self._store._pin(digest)
        self._pinned.append(digest)

    def close(self) -> None:
        """Gives everything up."""
        pinned, self._pinned = self._pinned, []
        for digest in pinned:
            self._store._unpin(digest)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ContentStore:
    """The blobs beneath `root`. Thread-safe; one engine at a time owns a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._ingest = root / "ingest"
        self._lock = threading.RLock()
        self._pins: Counter[str] = Counter()
        for directory in (root, self._blobs, self._ingest, *(self._blobs / name for name in ALGORITHMS)):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (root / "oci-layout").exists():
            self._replace("oci-layout", _LAYOUT)
        if not (root / "index.json").exists():
            self.write_index(Index(schema_version=2, media_type=OCI_INDEX))

    # -- reading

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        if not is_digest(digest):
            raise IntegrityError(f"invalid digest {digest[:200]!r}")
        return self._blobs / algorithm_of(digest) / hex_of(digest)

    def contains(self, digest: str) -> bool:
        """Whether the blob is there."""
        return is_digest(digest) and self.path(digest).exists()

    def info(self, digest: str) -> BlobInfo:
        """Size and age of a blob; NotFound."""
        try:
            status = self.path(digest).stat()
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None
        return BlobInfo(Digest(digest), status.st_size, status.st_mtime_ns)

    def open(self, digest: str) -> int:
        """A file descriptor to read the blob from; the caller closes it. NotFound."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def read(self, digest: str, *, limit: int = 4 << 20) -> bytes:
        """A small blob (manifest, config), verified; NotFound, IntegrityError."""
        fd = self.open(digest)
        try:
            if os.fstat(fd).st_size > limit:
                raise IntegrityError(
                    f"blob {digest} is larger than the {limit} bytes that a document may have"
                )
            data = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
        finally:
            os.close(fd)
        if algorithm_of(digest) == "sha256" and sha256_of(data) != digest:
            raise IntegrityError(f"blob {digest} is damaged on disk: its content has another digest")
        return data

    def walk(self) -> Iterator[BlobInfo]:
        """All blobs, in no order."""
        for algorithm in ALGORITHMS:
            with os.scandir(self._blobs / algorithm) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        digest = Digest(f"{algorithm}:{entry.name}")
                        if is_digest(digest):
                            yield BlobInfo(digest, status.st_size, status.st_mtime_ns)

    # -- writing

    def writer(
        self,
        expected: Digest | None = None,
        *,
        size: int | None = None,
        algorithm: str = "sha256",
        lease: Lease | None = None,
    ) -> Ingest:
        """A new blob being written: `with store.writer(digest, size=n) as ingest: ingest.write(…);
        ingest.commit()`.

        `commit` raises IntegrityError when digest or size differ from what was expected. With a lease the
        blob is pinned before it gets its name.
        """
        if expected is not None:
            algorithm = algorithm_of(expected)
        return Ingest(self._ingest / secrets.token_hex(12), self._place, expected, size, algorithm, lease)

    def partial_path(self, expected: Digest) -> Path:
        """The file that `resume` writes."""
        return self._ingest / (expected.replace(":", "-", 1) + _PARTIAL)

    def resume(self, expected: Digest, *, size: int) -> Ingest:
        """Like `writer`, but goes on where an earlier one was suspended or killed: see `written`. One at a
        time for each digest; blocks for as long as hashing what is there takes."""
        path = self.partial_path(expected)
        return Ingest(path, self._place, expected, size, algorithm_of(expected), None, resume=True)

    def add(self, data: bytes, *, expected: Digest | None = None, lease: Lease | None = None) -> BlobInfo:
        """Writes a small blob at once."""
        with self.writer(expected, size=len(data), lease=lease) as ingest:
            ingest.write(data)
            return self.info(ingest.commit())

    def new_file(self) -> Path:
        """A path under ingest/ for a file that another process writes; give it to `adopt`, or unlink it."""
        return self._ingest / secrets.token_hex(12)

    def adopt(self, path: Path, digest: Digest, *, lease: Lease | None = None) -> BlobInfo:
        """Makes a blob of a file from `new_file` whose digest its (trusted) writer has computed."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self._place(path, digest, lease)
        return self.info(digest)

    def delete(self, digest: str) -> bool:
        """Removes a blob; False when it is pinned or was not there."""
        with self._lock:
            if self._pins[digest] > 0:
                return False
            try:
                self.path(digest).unlink()
            except FileNotFoundError:
                return False
            return True

    def collect(self, reachable: Callable[[], set[str]]) -> tuple[int, int]:
        """Removes every blob that is neither pinned nor in `reachable()`: (blobs, bytes) removed.

        `reachable` is called after the pins are frozen, so that what is being loaded is kept either way.
        """
        freed = 0
        aside: list[Path] = []
        with self._lock:
            keep = reachable() | {digest for digest, pins in self._pins.items() if pins > 0}
            for blob in list(self.walk()):
                if blob.digest not in keep:
                    path = self.new_file()
                    with contextlib.suppress(FileNotFoundError):
                        self.path(blob.digest).rename(path)
                        aside.append(path)
                        freed += blob.size
        for path in aside:  # whoever pins a blob need not wait for the disk
            path.unlink(missing_ok=True)
        return len(aside), freed

    def lease(self) -> Lease:
        """A new lease, which pins nothing yet."""
        return Lease(self)

    def write_index(self, index: Index) -> None:
        """Replaces index.json atomically."""
        self._replace("index.json", msgspec.json.encode(index))

    def read_index(self) -> Index:
        """What index.json says."""
        return msgspec.json.decode((self.root / "index.json").read_bytes(), type=Index)

    def recover(self) -> int:
        """Removes what a killed engine left half-written (but for downloads that can be resumed); returns how
        many files. Call before anything is written."""
        removed = 0
        oldest = time.time() - _PARTIAL_SECONDS
        for leftover in self._ingest.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if leftover.suffix == _PARTIAL and leftover.stat().st_mtime > oldest:
                    continue
                leftover.unlink()
                removed += 1
        for leftover in self.root.glob(".*.new"):
            leftover.unlink(missing_ok=True)
        return removed

    # -- the inside

    def _pin(self, digest: str) -> None:
        with self._lock:
            self._pins[digest] += 1

    def _unpin(self, digest: str) -> None:
        with self._lock:
            self._pins[digest] -= 1
            if self._pins[digest] <= 0:
                del self._pins[digest]

    def _place(self, temporary: Path, digest: Digest, lease: Lease | None) -> None:
        """Gives a complete, fsynced file its name. When there is one already, the new one takes its place: it
        has just been verified, and the old one may have been damaged since it was.
        """
        target = self.path(digest)
        with self._lock:
            if lease is not None:
                lease.pin(digest)
            temporary.rename(target)
        _fsync_directory(target.parent)

    def _replace(self, name: str, data: bytes) -> None:
        temporary = self.root / f".{name}.{secrets.token_hex(6)}.new"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.root / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"cannot write {self.root / name}: the disk is full") from error
            raise


def _fsync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
