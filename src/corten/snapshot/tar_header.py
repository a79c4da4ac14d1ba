"""The 512-byte headers of tar: ustar, GNU and PAX (POSIX.1-2008 `pax`, and GNU tar's manual, "Basic Tar
Format")."""

from __future__ import annotations

import struct
import zlib

from corten.errors import ArchiveError

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

REGULAR, REGULAR_OLD, CONTIGUOUS = b"0", b"\0", b"7"
HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"1", b"2", b"3", b"4", b"5", b"6"
GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = b"L", b"K", b"S"
PAX_HEADER, PAX_GLOBAL, SOLARIS_HEADER = b"x", b"g", b"X"

XATTR_PREFIX = b"SCHILY.xattr."

HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
"""name mode uid gid size mtime checksum type linkname magic uname gname devmajor devminor prefix"""


class Entry:
    """One member of an archive. Names are bytes as they stand; `size` is what is stored, `real_size` what
    the file has; times in nanoseconds; `sparse` lists (offset, length) of the stored regions."""

    __slots__ = (
        "devmajor",
        "devminor",
        "gid",
        "gname",
        "linkname",
        "mode",
        "mtime_ns",
        "name",
        "real_size",
        "size",
        "sparse",
        "type",
        "uid",
        "uname",
        "xattrs",
    )

    def __init__(self, name: bytes, type: bytes = REGULAR) -> None:
        self.name = name
        self.type = type
        self.mode = 0o644
        self.uid = 0
        self.gid = 0
        self.uname = b""
        self.gname = b""
        self.size = 0
        self.real_size = 0
        self.mtime_ns = 0
        self.linkname = b""
        self.devmajor = 0
        self.devminor = 0
        self.xattrs: dict[bytes, bytes] | None = None
        self.sparse: list[tuple[int, int]] | None = None

    def __repr__(self) -> str:
        return f"<tar entry {self.name!r} type {self.type!r} size {self.size}>"


def checksum(block: bytes) -> int:
    """The sum of the header's bytes, its checksum field taken as spaces.

    The low half of Adler-32 is 1 plus the sum of the bytes modulo 65521, which 256 bytes cannot reach: two
    calls of it give the exact sum twenty times faster than `sum`.
    """
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    return total - (zlib.adler32(block[148:156]) & 0xFFFF) + 1 + 256


def signed_checksum(block: bytes) -> int:
    """The sum as some old tars computed it, with signed bytes."""
    return checksum(block) - 256 * sum(1 for i, byte in enumerate(block) if byte > 127 and not 148 <= i < 156)


def is_header(block: bytes) -> bool:
    """Whether its checksum is right."""
    try:
        stored = number(block[148:156], "the checksum")
    except ArchiveError:
        return False
    return stored == checksum(block) or stored == signed_checksum(block)


def number(field: bytes, what: str) -> int:
    """An octal number, or a base-256 one (GNU) when the first byte's high bit is set."""
    first = field[0]
    if first & 0x80:
        if first == 0xFF:
            return int.from_bytes(field, "big", signed=True)
        return int.from_bytes(bytes((first & 0x7F,)) + field[1:], "big")
    text = field.partition(b"\0")[0].strip()
    if not text:
        return 0
    try:
        value = int(text, 8)
    except ValueError:
        raise ArchiveError(f"malformed tar header: {what} is {field[:32]!r}, not an octal number") from None
    if text[:1] in (b"-", b"+") or b"_" in text:
        raise ArchiveError(f"malformed tar header: {what} is {field[:32]!r}, not an octal number")
    return value


def parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records `length key=value\\n` of a PAX header."""
    records: list[tuple[bytes, bytes]] = []
    position, end = 0, len(data)
    while position < end and data[position] != 0:
        space = data.find(b" ", position, position + 20)
        text = data[position:space] if space > 0 else b""
        if not text.isdigit():
            raise ArchiveError(f"malformed PAX header: record at byte {position} has no length")
        length = int(text)
        record = data[space + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if length <= len(text) + 1 or position + length > end or not equals or not value.endswith(b"\n"):
            raise ArchiveError(f"malformed PAX header: record at byte {position} does not end where it says")
        records.append((key, value[:-1]))
        position += length
    return records


def pax_time(value: bytes) -> int:
    """Seconds with a decimal fraction, in nanoseconds."""
    whole, _, fraction = value.partition(b".")
    digits = (fraction + b"000000000")[:9]
    negative = whole.startswith(b"-")
    if not whole.lstrip(b"-").isdigit() or not digits.isdigit() or len(whole) > 20:
        raise ArchiveError(f"malformed PAX header: {value[:40]!r} is not a time")
    nanoseconds = int(whole) * 1_000_000_000
    return nanoseconds - int(digits) if negative else nanoseconds + int(digits)


def pax_number(value: bytes, what: str) -> int:
    """A decimal number."""
    if not value.isdigit() or len(value) > 20:
        raise ArchiveError(f"malformed PAX header: {what} is {value[:40]!r}, not a number")
    return int(value)
