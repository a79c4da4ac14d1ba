"""Python's compiled files carry the time of their sources: where the time of a source becomes another,
theirs must follow, or every import would compile it again.

A .pyc begins with (PEP 552): a magic number that ends in CR LF, flags (0: it goes by time), the source's
mtime in seconds and its size, each in 4 bytes, little-endian.
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<2s2sIII")
HEADER_SIZE = _HEADER.size


def source_of(name: str, directory: str) -> tuple[str, bool] | None:
    """(the name of the source of the file `name`, whether it is in the parent of `directory`, which is the
    name of the directory that the file is in); None when it is no compiled file."""
    if not name.endswith(".pyc"):
        return None
    if directory != "__pycache__":
        return name[:-1], False
    return name.partition(".")[0] + ".py", True


def retimed(header: bytes, seconds: int, epoch: int) -> bytes:
    """`header` (the first 16 bytes) with `epoch` in it, if it has `seconds`, its source's time now."""
    if len(header) < HEADER_SIZE:
        return header
    magic, end, flags, mtime, size = _HEADER.unpack(header[:HEADER_SIZE])
    if end != b"\r\n" or flags or mtime != seconds & 0xFFFFFFFF:
        return header
    return _HEADER.pack(magic, end, flags, epoch & 0xFFFFFFFF, size) + header[HEADER_SIZE:]
