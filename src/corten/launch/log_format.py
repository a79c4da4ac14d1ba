"""The log file of a container, and its writer (the monitor's; `log` reads).

Append-only, one record per read() of the container's output, of any length up to a mebibyte or so::

    magic 0xC7 | flags | 0 0 | length: u32 | Unix time in ns: u64 | length bytes | length: u32 | length ^
    TRAILER: u32

all little-endian. `flags`: 1 stdout, 2 stderr; CONTINUES when the stream's record before did not end its
line, so that a reader need not look back to know where a line begins. The length stands at the end as well,
so that a log can be read backwards (`logs --tail`), and so that a torn record at the end (the monitor was
killed while it wrote) is found by looking at eight bytes. Rotation renames `log` to `log.1`, `log.1` to
`log.2` and so on.

The monitor loads this module: no imports beyond os and time.
"""

from __future__ import annotations

import os
import time
from struct import Struct

MAGIC = 0xC7
STDOUT, STDERR = 1, 2
STREAM_MASK = 0x03
CONTINUES = 0x80
HEADER = Struct("<BBHIQ")
TRAILER = Struct("<II")
TRAILER_KEY = 0xC0_97_E4_A5
OVERHEAD = HEADER.size + TRAILER.size
_SCAN_BLOCK = 1 << 20


def rotated(path: str, number: int) -> str:
    """The name of the log that was rotated `number` times; 0 is the current one."""
    return f"{path}.{number}" if number else path


def last_record(fd: int, end: int) -> int:
    """The offset of the record that ends at `end`; -1 if none does (torn, or the beginning of the file)."""
    if end < OVERHEAD:
        return -1
    length, check = TRAILER.unpack(os.pread(fd, TRAILER.size, end - TRAILER.size))
    start = end - length - OVERHEAD
    if length ^ TRAILER_KEY != check or start < 0:
        return -1
    magic, _flags, _zero, head_length, _time = HEADER.unpack(os.pread(fd, HEADER.size, start))
    return start if magic == MAGIC and head_length == length else -1


def intact_size(fd: int) -> int:
    """How much of the file is whole records: less than its size if its last record is torn."""
    size = os.fstat(fd).st_size
    if size == 0 or last_record(fd, size) >= 0:
        return size
    offset = 0
    while True:
        header = os.pread(fd, HEADER.size, offset)
        if len(header) < HEADER.size:
            return offset
        magic, _flags, _zero, length, _time = HEADER.unpack(header)
        if magic != MAGIC or offset + length + OVERHEAD > size:
            return offset
        offset += length + OVERHEAD


def open_log(path: str) -> int:
    """Open the log for appending; a torn record at its end is cut off."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    size = intact_size(fd)
    if size != os.fstat(fd).st_size:
        os.ftruncate(fd, size)
    return fd


class LogWriter:
    """Appends records; rotates at `max_size` bytes (0: never) and keeps `max_file` files.

    A full disk does not stop the container: what cannot be written is counted, and a line says so once there
    is room again.
    """

    __slots__ = ("_fd", "_lost", "_max_file", "_max_size", "_partial", "_path", "_size")

    def __init__(self, path: str, max_size: int = 0, max_file: int = 1, *, fd: int = -1) -> None:
        """`fd`: as `open_log` gave it, if another process has opened the log already."""
        self._path = path
        self._max_size = max_size
        self._max_file = max_file
        self._partial = 0  # bit per stream: its last record did not end its line
        self._lost = 0
        self._fd = open_log(path) if fd < 0 else fd
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: int, data: bytes) -> None:
        """Append one record."""
        if self._lost:
            self._confess()
        self._append(stream, data)

    def _append(self, stream: int, data: bytes) -> bool:
        length = len(data)
        total = length + OVERHEAD
        if self._max_size and self._size and self._size + total > self._max_size:
            try:
                self.rotate()
            except OSError:
                pass  # go on in the file that is open: a log over its size is better than none
        flags = stream | CONTINUES if self._partial & stream else stream
        header = HEADER.pack(MAGIC, flags, 0, length, time.time_ns())
        try:
            written = os.writev(self._fd, (header, data, TRAILER.pack(length, length ^ TRAILER_KEY)))
        except OSError:
            written = 0
        if written != total:
            self._lost += length
            if written:
                os.ftruncate(self._fd, self._size)
            return False
        self._size += total
        if data.endswith(b"\n"):
            self._partial &= ~stream
        else:
            self._partial |= stream
        return True

    def _confess(self) -> None:
        lost, self._lost = self._lost, 0
        gap = b"\n" if self._partial & STDERR else b""
        if self._append(STDERR, gap + b"[corten: %d bytes of output could not be logged]\n" % lost):
            return
        self._lost = lost

    def rotate(self) -> None:
        """Rename the log out of the way (or drop it, if only one file is to be kept) and begin a new one."""
        if self._max_file > 1:
            for number in range(self._max_file - 1, 0, -1):
                try:
                    os.rename(rotated(self._path, number - 1), rotated(self._path, number))
                except FileNotFoundError:
                    pass
        else:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
        fd = open_log(self._path)
        os.close(self._fd)
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def close(self) -> None:
        os.close(self._fd)
