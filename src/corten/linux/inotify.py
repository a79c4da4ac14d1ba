"""inotify(7): be woken when a file changes."""

from __future__ import annotations

import ctypes
import os

from corten.linux.syscall import failure, libc

IN_MODIFY = 0x00000002
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_NONBLOCK = os.O_NONBLOCK
IN_CLOEXEC = os.O_CLOEXEC

_init = libc("inotify_init1", ctypes.c_int)
_add_watch = libc("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class Inotify:
    """An inotify instance. `fd` (non-blocking, close-on-exec) is readable when something was reported."""

    def __init__(self) -> None:
        self.fd = _init(IN_NONBLOCK | IN_CLOEXEC)
        if self.fd < 0:
            raise failure("inotify_init1")

    def add_watch(self, path: str, mask: int) -> int:
        """Watch `path`; the watch descriptor. The watch ends with the instance."""
        watch = _add_watch(self.fd, os.fsencode(path), mask)
        if watch < 0:
            raise failure("inotify_add_watch", path)
        return watch

    def drain(self) -> bytes:
        """All events that are there now, as `struct inotify_event`s; b"" if there are none."""
        events = b""
        while True:
            try:
                events += os.read(self.fd, 65536)
            except BlockingIOError:
                return events

    def close(self) -> None:
        """Close the instance and its watches."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
