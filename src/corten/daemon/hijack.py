"""Taking a connection out of HTTP: the answer, and then the socket belongs to the container's monitor."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from corten.daemon.call import MULTIPLEXED_STREAM, RAW_STREAM
from corten.daemon.message import STANDARD_HEADERS
from corten.errors import Unavailable

if TYPE_CHECKING:
    from corten.daemon.call import Call

#: The head of a frame of Docker's multiplexed stream: the stream's number, three zeros, the length.
_STDERR_FRAME = struct.Struct(">BxxxI")


class Connection:
    """A client's connection, from which nothing more is read here; and after the answer nothing written."""

    def __init__(self, call: Call, *, multiplexed: bool) -> None:
        """`answer` has to follow before anybody writes to what `duplicate` gives."""
        transport = call.http.transport
        if transport is None:
            raise Unavailable("the client has gone away")
        self._transport = transport
        self._multiplexed = multiplexed
        # Nothing the client sends from now on may be read here: it is the container's input.
        self._transport.pause_reading()
        self._head = _answer(call, multiplexed)

    def answer(self) -> None:
        """Sends the head of the answer, once."""
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def duplicate(self) -> int:
        """The socket as a descriptor of the caller's own."""
        return os.dup(self._transport.get_extra_info("socket").fileno())

    def release(self) -> None:
        """Lets go of the connection without a shutdown of the socket: whoever has the duplicate goes on."""
        self._transport.abort()

    def fail(self, text: str) -> None:
        """Ends the connection with a message in the stream, as Docker does after its 101."""
        self.answer()
        data = text.encode() + b"\r\n"
        if self._multiplexed:
            data = _STDERR_FRAME.pack(2, len(data)) + data
        self._transport.write(data)
        self._transport.close()


def _answer(call: Call, multiplexed: bool) -> bytes:
    if not call.header("Upgrade"):
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {RAW_STREAM}"]
    else:
        kind = MULTIPLEXED_STREAM if multiplexed and call.version >= (1, 42) else RAW_STREAM
        lines = [
            "HTTP/1.1 101 UPGRADED",
            f"Content-Type: {kind}",
            "Connection: Upgrade",
            "Upgrade: tcp",
        ]
    lines += [f"{name}: {value}" for name, value in STANDARD_HEADERS.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
