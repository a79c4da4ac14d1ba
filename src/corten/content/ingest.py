"""A blob that is being written: hashed as it comes, verified, fsynced, and only then named."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from corten.errors import IntegrityError, NoSpace
from corten.linux.page_cache import WriteBehind
from corten.oci.digest import Digest, is_digest

if TYPE_CHECKING:
    from corten.content.store import Lease


class Ingest:
    """A file under ingest/ that becomes a blob by `commit`; without it, leaving the context removes the
    file. One that may be resumed keeps what was written when it is suspended instead."""

    def __init__(
        self,
        path: Path,
        place: Callable[[Path, Digest, Lease | None], None],
        expected: Digest | None,
        size: int | None,
        algorithm: str,
        lease: Lease | None,
        *,
        resume: bool = False,
    ) -> None:
        if algorithm not in ("sha256", "sha512"):
            raise IntegrityError(f"unsupported digest algorithm {algorithm!r}: sha256 and sha512 are known")
        if expected is not None and not is_digest(expected):
            raise IntegrityError(f"invalid digest {expected[:200]!r}")
        self.path = path
        self.written = 0
        self._place = place
        self._expected = expected
        self._size = size
        self._algorithm = algorithm
        self._lease = lease
        self._hash = hashlib.new(algorithm, usedforsecurity=True)
        fresh = 0 if resume else os.O_EXCL
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | fresh, 0o600)
        if resume:
            self._take_up()
        self._behind = WriteBehind(self._fd, self.written)

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")

    def _take_up(self) -> None:
        """Hashes again what an earlier attempt has written: nothing of it is trusted."""
        if self._size is not None and os.fstat(self._fd).st_size > self._size:
            os.ftruncate(self._fd, 0)
        while piece := os.read(self._fd, 1 << 20):
            self._hash.update(piece)
            self.written += len(piece)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Appends `data`; IntegrityError as soon as it is more than the expected size, NoSpace."""
        self.written += len(data)
        if self._size is not None and self.written > self._size:
            raise IntegrityError(
                f"blob {self._expected or ''} is longer than the {self._size} bytes that were announced"
            )
        self._hash.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            self._behind.advance(self.written)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"cannot store a blob in {self.path.parent}: the disk is full") from error
            raise

    def fileno(self) -> int:
        """The open file's descriptor, which is closed by `commit`, `abort` and `suspend`."""
        return self._fd

    def verify(self) -> Digest:
        """The final digest; IntegrityError when size or digest are not what was expected."""
        if self._size is not None and self.written != self._size:
            raise IntegrityError(
                f"blob {self._expected or ''} has {self.written} bytes instead of the {self._size} announced"
            )
        digest = self.digest
        if self._expected is not None and digest != self._expected:
            raise IntegrityError(f"digest mismatch: expected {self._expected}, the content has {digest}")
        return digest

    def commit(self) -> Digest:
        """Verifies, makes durable and names the blob; returns its digest."""
        digest = self.verify()
        try:
            os.fsync(self._fd)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"cannot store blob {digest}: the disk is full") from error
            raise
        self._close()
        self._place(self.path, digest, self._lease)
        return digest

    def abort(self) -> None:
        """Throws away what was written; harmless after `commit`."""
        self._close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def suspend(self) -> None:
        """Closes the file and keeps it for another attempt; harmless after `commit` and `abort`."""
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
