"""Send and receive one message (a tuple of plain values, and descriptors) over a SOCK_SEQPACKET socket.

Works on `_socket.socket`, which `socket.socket` derives from: the launcher does not import `socket` (nor,
with it, `selectors` and `enum`).
"""

from __future__ import annotations

import marshal
import os
import struct
from _socket import (
    AF_UNIX,
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
)

from corten.launch.messages import MAX_FDS, PACKET_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

BIG = b"\x00"  # no marshalled value begins with it: "the payload is in the first descriptor"


def connection(fd: int) -> socket:
    """The socket of `fd`, which is its own from now on; without asking the kernel what it is."""
    return socket(AF_UNIX, SOCK_SEQPACKET, 0, fd)


def encode(message: tuple[Any, ...]) -> tuple[bytes, int]:
    """The packet for `message`, and the memfd that has to go first among its descriptors, or -1."""
    payload = marshal.dumps(message)
    if len(payload) <= PACKET_LIMIT:
        return payload, -1
    fd = os.memfd_create("corten-message", os.MFD_CLOEXEC)
    rest = memoryview(payload)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return BIG, fd


def send_packet(sock: socket, payload: bytes, fds: Sequence[int] = (), flags: int = 0) -> None:
    """Send one packet; raises BlockingIOError as sendmsg does."""
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    sock.sendmsg((payload,), ancillary, flags | MSG_NOSIGNAL)


def send(sock: socket, message: tuple[Any, ...], fds: Sequence[int] = (), flags: int = 0) -> None:
    """Send one message; the descriptors stay the caller's."""
    payload, memfd = encode(message)
    if memfd < 0:
        send_packet(sock, payload, fds, flags)
        return
    try:
        send_packet(sock, payload, (memfd, *fds), flags)
    finally:
        os.close(memfd)


def receive_packet(sock: socket, max_fds: int = MAX_FDS) -> tuple[bytes, list[int]]:
    """One packet (b"" at the end) and the descriptors that came with it, which are the caller's now."""
    payload, ancillary, _flags, _address = sock.recvmsg(
        PACKET_LIMIT + 1 if max_fds == MAX_FDS else 8192, CMSG_LEN(4 * max_fds), MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    return payload, fds


def decode(payload: bytes, fds: list[int]) -> tuple[Any, ...]:
    """The message of a packet; takes the memfd, if it came in one, off `fds`."""
    if payload != BIG:
        return tuple(marshal.loads(payload))
    memfd = fds.pop(0)
    try:
        size = os.fstat(memfd).st_size
        return tuple(marshal.loads(os.pread(memfd, size, 0)))
    finally:
        os.close(memfd)


def receive_all(sock: socket) -> tuple[tuple[Any, ...] | None, list[int]]:
    """As `receive`, for a message of any size and with any number of descriptors."""
    return receive(sock, MAX_FDS)


def receive(sock: socket, max_fds: int = 4) -> tuple[tuple[Any, ...] | None, list[int]]:
    """One message, or None at the end of the connection, and its descriptors."""
    payload, fds = receive_packet(sock, max_fds)
    return (decode(payload, fds) if payload else None), fds
