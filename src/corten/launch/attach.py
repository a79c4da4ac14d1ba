"""A client of a container's stdio: Docker's raw stream on the client's own socket."""

from __future__ import annotations

import os

from corten.launch.detach_keys import DetachScanner
from corten.launch.messages import ATTACH_MUX, ATTACH_STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READ_SIZE = 32768


class Client:
    """What an attached client wants, and what it has not taken yet.

    `flags`: ATTACH_*. While `pending` is not empty nobody reads the container's output, so it holds at most
    one read of each stream. Shutting down, closing and polling are the caller's (`stdio`).
    """

    __slots__ = ("fd", "flags", "handle", "input_open", "origin", "pending", "scanner")

    def __init__(self, fd: int, flags: int, handle: int, detach_keys: bytes, origin: Any) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.flags = flags
        self.handle = handle
        self.origin = origin  # the control connection that is told of the end
        self.scanner = DetachScanner(detach_keys)
        self.input_open = bool(flags & ATTACH_STDIN)
        self.pending = b""

    def send(self, stream: int, data: bytes) -> None:
        """Queue `data` of `stream` (1 or 2), framed, and send what goes. Raises OSError when it is gone."""
        if not self.flags & (stream << 1):  # ATTACH_STDOUT is STDOUT << 1, ATTACH_STDERR is STDERR << 1
            return
        # https://docs.docker.com/reference/api/engine/: stream, three zeros, length in big endian
        header = b"%c\0\0\0" % stream + len(data).to_bytes(4, "big") if self.flags & ATTACH_MUX else b""
        if self.pending:
            self.pending += header + data
            return
        try:
            sent = os.writev(self.fd, (header, data))
        except BlockingIOError:
            sent = 0
        if sent < len(header) + len(data):
            self.pending = (header + data)[sent:]

    def flush(self) -> bool:
        """Send more of what is pending; true when there is nothing left. Raises OSError when it is gone."""
        try:
            sent = os.write(self.fd, self.pending)
        except BlockingIOError:
            return False
        self.pending = self.pending[sent:]
        return not self.pending

    def read(self) -> tuple[bytes, bool, bool]:
        """Input for the container, whether the input has ended, whether the client detaches."""
        try:
            data = os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return b"", False, False
        if not data:
            return self.scanner.flush(), True, False
        passed, detached = self.scanner.feed(data)
        return passed, False, detached
