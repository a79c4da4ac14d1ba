"""Docker's multiplexed output: frames of 8 header bytes (stream, 0, 0, 0, length big-endian) and data.

The format is that of `POST /containers/{id}/attach` in Docker's API; containers with a terminal send it raw.
"""

from __future__ import annotations

STDIN, STDOUT, STDERR = 0, 1, 2


class Demultiplexer:
    """Bytes in, (stream, data) out; data is passed on as it comes, not frame by frame."""

    __slots__ = ("_header", "_remaining", "_stream")

    def __init__(self) -> None:
        self._header = b""
        self._remaining = 0
        self._stream = STDOUT

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The pieces of output in `data`; neighbours of one stream are joined."""
        pieces: list[tuple[int, bytes]] = []
        position, end = 0, len(data)
        while position < end:
            if self._remaining:
                piece = data[position : position + self._remaining]
                position += len(piece)
                self._remaining -= len(piece)
                pieces.append((self._stream, piece))
                continue
            need = 8 - len(self._header)
            self._header += data[position : position + need]
            position += need
            if len(self._header) == 8:
                self._stream = STDERR if self._header[0] in (STDERR, 3) else STDOUT
                self._remaining = int.from_bytes(self._header[4:8], "big")
                self._header = b""
        return _join(pieces)


def _join(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Programs that write line by line make thousands of small frames a read: one write each is too slow."""
    if len(pieces) < 2:
        return pieces
    joined: list[tuple[int, bytes]] = []
    run: list[bytes] = []
    current = pieces[0][0]
    for stream, piece in pieces:
        if stream != current:
            joined.append((current, b"".join(run)))
            run, current = [], stream
        run.append(piece)
    joined.append((current, b"".join(run)))
    return joined
