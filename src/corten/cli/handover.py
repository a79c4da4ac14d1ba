"""Hands the command's own stdin, stdout and stderr to the container: no byte passes the engine or this
process.

Only pipes and sockets, and the null device. A container that holds the caller's terminal could read what is
typed there, even after the command has ended. One that holds a file could open it anew through /proc/self/fd,
to write to what was given to be read, to read what is to be appended to, or to change owner and mode. One
that holds a directory could walk out of its root. So in place of these it gets a pipe, and this process
copies.
"""

from __future__ import annotations

import _socket
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.address import Address

HEADER = "X-Corten-Stdio"
_SCM_RIGHTS = 1  # <linux/socket.h>; `_socket` has it as well, but not on every build


class Handover:
    """Three descriptors on their way to a container, and the ends of the pipes that this process copies.

    `sources`: (read end, own descriptor to write to) for output that goes to a terminal.
    `input`: the write end of the container's stdin, when the caller's is a terminal.
    """

    __slots__ = ("_connection", "input", "sources", "token")

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self.token = os.urandom(12).hex()
        self.sources: list[tuple[int, int]] = []
        self.input = -1

    @property
    def copies(self) -> bool:
        """Whether this process has something to copy."""
        return bool(self.sources) or self.input >= 0

    def send(self, interactive: bool) -> None:
        """Sends the descriptors; what was opened for the container is closed here again."""
        opened: list[int] = []
        try:
            fds = [self._stdin(opened) if interactive else _null(opened, os.O_RDONLY)]
            fds += [self._output(1, opened), self._output(2, opened)]
            self._send(fds)
        finally:
            for fd in opened:
                os.close(fd)

    def send_file(self, fd: int) -> None:
        """Sends one descriptor, for the engine itself to read from."""
        self._send([fd])

    def _send(self, fds: list[int]) -> None:
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        self._connection.sendmsg([self.token.encode()], [(_socket.SOL_SOCKET, _SCM_RIGHTS, packed)])

    def _stdin(self, opened: list[int]) -> int:
        if not _is_open(0):
            return _null(opened, os.O_RDONLY)
        if _harmless(0):
            return 0
        reader, self.input = os.pipe()
        opened.append(reader)
        return reader

    def _output(self, fd: int, opened: list[int]) -> int:
        if not _is_open(fd):
            return _null(opened, os.O_WRONLY)
        if _harmless(fd):
            return fd
        if fd == 2 and self.sources and os.path.sameopenfile(1, 2):
            return opened[-1]  # `> file 2>&1`, a terminal: one pipe keeps the order of what is written
        reader, writer = os.pipe()
        opened.append(writer)
        self.sources.append((reader, fd))
        return writer

    def close(self) -> None:
        """Closes the connection and the pipes."""
        self._connection.close()
        for reader, _fd in self.sources:
            os.close(reader)
        self.sources = []
        if self.input >= 0:
            os.close(self.input)
            self.input = -1


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _harmless(fd: int) -> bool:
    """Whether all that a container can do with `fd` is to read and write."""
    found = os.fstat(fd)
    kind = found.st_mode & 0o170000
    if kind == 0o020000:
        return found.st_rdev == os.makedev(1, 3)  # /dev/null: the runtime puts the container's own there
    return kind in (0o010000, 0o140000)  # S_IFIFO, S_IFSOCK


def _null(opened: list[int], flags: int) -> int:
    fd = os.open(os.devnull, flags | os.O_CLOEXEC)
    opened.append(fd)
    return fd


def offer(address: Address, interactive: bool) -> Handover | None:
    """The hand-over to the engine at `address`; None where it takes none (a remote one, or Docker's)."""
    handover = _connect(address)
    if handover is not None:
        handover.send(interactive)
    return handover


def offer_file(address: Address, fd: int) -> Handover | None:
    """The hand-over of the file `fd`, as `offer`; None also for what is no regular file."""
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:
        return None
    handover = _connect(address)
    if handover is not None:
        handover.send_file(fd)
    return handover


def _connect(address: Address) -> Handover | None:
    path = address.stdio_path
    if not path:
        return None
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    os.set_inheritable(connection.fileno(), False)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return Handover(connection)
