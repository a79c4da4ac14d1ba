"""Small compressed documents from elsewhere, inflated within a limit."""

from __future__ import annotations

from corten.errors import IntegrityError
from corten.snapshot.inflate import Inflater


def inflated(data: bytes, limit: int, what: str) -> bytes:
    """IntegrityError for more than `limit` bytes; ArchiveError for damage."""
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        position += size
        return data[position - size : position]

    inflater = Inflater(read, what=what)
    pieces: list[bytes] = []
    while piece := inflater.read():
        if inflater.produced > limit:
            raise IntegrityError(f"the {what} has more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)
