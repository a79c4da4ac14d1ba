"""Long files read and written without filling the page cache: each page of it that something else used has
to be read again, and each new one costs a page to be found and cleared."""

from __future__ import annotations

import errno
import os

RWF_DONTCACHE = 0x80
"""<linux/fs.h>, Linux 6.14: what a read brings into the page cache goes again; what was there stays."""

STEP = 8 << 20
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)


class ReadOnce:
    """Reads of the open file `fd` of which nothing stays in the page cache, where the kernel can do that."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._flags = RWF_DONTCACHE
        self._buffer = memoryview(bytearray())

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; b"" at the end."""
        if self._flags:
            if len(self._buffer) < size:
                self._buffer = memoryview(bytearray(size))
            try:
                read = os.preadv(self.fd, [self._buffer[:size]], offset, self._flags)
                return bytes(self._buffer[:read])
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                self._flags = 0
        return os.pread(self.fd, size, offset)


class WriteBehind:
    """For a file that grows, is to be on disk soon, and will hardly be read: the kernel begins to write it at
    once (an fsync at the end waits for the rest only), and keeps no page that is written."""

    def __init__(self, fd: int, start: int = 0) -> None:
        self._fd = fd
        self._told = start

    def advance(self, end: int) -> None:
        """The file has `end` bytes now."""
        while end - self._told >= STEP:
            # Dirty pages begin to be written, those of the step before are clean by now.
            begin = max(0, self._told - STEP)
            self._told += STEP
            os.posix_fadvise(self._fd, begin, self._told - begin, os.POSIX_FADV_DONTNEED)
