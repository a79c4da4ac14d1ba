"""Files of lines that several processes append to at once, and that may be renamed under them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import Protocol


class Lines(Protocol):
    """Somewhere that takes whole lines."""

    def append(self, line: bytes) -> None:
        """One line, with its end. OSError."""
        ...

    def sync(self) -> None:
        """What was appended is on the disk. OSError. For a thread."""
        ...

    def close(self) -> None: ...


class LineFile:
    """Appends whole lines. Whoever renames the file (logrotate) gets what follows in a new one.

    With `rotate_bytes`, writers take turns, and the one that would make the file larger than that renames
    it first, and removes the oldest ones beyond `keep` (0: none). A file that is full never has a half
    line.
    """

    def __init__(self, path: str, rotate_bytes: int = 0, keep: int = 0) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fd = -1
        self._looked = 0.0

    def append(self, line: bytes) -> None:
        """One line, with its end. OSError; with `rotate_bytes` nothing of it is in the file then."""
        if self._rotate_bytes:
            self._append_in_turn(line)
            return
        now = time.monotonic()
        if self._fd < 0 or now - self._looked > 1:
            self._looked = now
            self._follow()
        _write_all(self._fd, line)

    def _append_in_turn(self, line: bytes) -> None:
        while True:
            self._follow()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                if not self._is_in_place():
                    continue  # another process has renamed it in the meantime
                size = os.fstat(self._fd).st_size
                if size and size + len(line) > self._rotate_bytes:
                    self._rotate()
                    continue
                try:
                    _write_all(self._fd, line)
                except OSError:
                    os.ftruncate(self._fd, size)
                    raise
                return
            finally:
                # After a rotation the descriptor is the old file's still.
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sync(self) -> None:
        if self._fd < 0:
            return
        fd = os.dup(self._fd)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _follow(self) -> None:
        if self._fd >= 0 and self._is_in_place():
            return
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _is_in_place(self) -> bool:
        try:
            there, mine = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def _rotate(self) -> None:
        os.fdatasync(self._fd)
        directory, name = os.path.split(self._path)
        stem, extension = os.path.splitext(name)
        now = time.time_ns()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
        full = f"{stem}-{stamp}.{now % 10**9:09d}Z{extension}"
        os.rename(self._path, os.path.join(directory, full))
        if not self._keep:
            return
        # What somebody has put beside it under a name like these is not ours to delete.
        rotated = re.compile(rf"{re.escape(stem)}-\d{{8}}T\d{{6}}\.\d{{9}}Z{re.escape(extension)}")
        old = sorted(entry for entry in os.listdir(directory or ".") if rotated.fullmatch(entry))
        for entry in old[: -self._keep]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, entry))


class StandardError:
    """The same for standard error, whatever it is: a terminal, a pipe, a socket."""

    def append(self, line: bytes) -> None:
        """One line, with its end. OSError."""
        _write_all(2, line)

    def sync(self) -> None:
        return

    def close(self) -> None:
        return


def _write_all(fd: int, line: bytes) -> None:
    written = os.write(fd, line)
    if written != len(line):
        raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
