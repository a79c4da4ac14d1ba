"""Deterministic tars: ustar, with PAX records only where ustar cannot say it, and GNU's sparse format 1.0
for holes. The data of a file can be aligned, by a PAX comment in front of it.
"""

from __future__ import annotations

from collections.abc import Callable

from corten.snapshot import tar_header as h
from corten.snapshot.tar_header import BLOCK, Entry

PIECE = 1 << 20
Write = Callable[[bytes | memoryview], object]

_MIN_COMMENT = len(b"99 comment= \n")
_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777


class TarWriter:
    """Collects small things and hands pieces of about 1 MiB to `write`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._buffer = bytearray()
        self._handed_out = 0

    @property
    def offset(self) -> int:
        """Where what is added next begins."""
        return self._handed_out + len(self._buffer)

    def add(self, entry: Entry, *, align: int = 0) -> None:
        """Writes the header; exactly `entry.size` bytes of `data` must follow, then `pad`. With `align` (a
        multiple of 512, at most 4096), the data begins at a multiple of it."""
        records: dict[bytes, bytes] = {}
        prefix, name = _split_name(entry.name, records)
        link = entry.linkname
        if len(link) > 100:
            records[b"linkpath"] = link
        seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
        if fraction or not 0 <= seconds <= _OCTAL_11:
            records[b"mtime"] = _decimal(entry.mtime_ns)
            seconds = min(max(seconds, 0), _OCTAL_11)
        for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
            if value > _OCTAL_7:
                records[key] = b"%d" % value
        if entry.size > _OCTAL_11:
            records[b"size"] = b"%d" % entry.size
        for attribute, content in sorted((entry.xattrs or {}).items()):
            records[h.XATTR_PREFIX + attribute] = content
        if entry.sparse is not None:
            records[b"GNU.sparse.major"] = b"1"
            records[b"GNU.sparse.minor"] = b"0"
            records[b"GNU.sparse.name"] = entry.name
            records[b"GNU.sparse.realsize"] = b"%d" % entry.real_size
            records.pop(b"path", None)
        body = b"".join(_record(key, value) for key, value in sorted(records.items()))
        if align:
            body = _filled(body, self.offset, align)
        if body:
            self._header(
                b"PaxHeaders.0/" + name[-80:],
                b"",
                h.PAX_HEADER,
                0o644,
                0,
                0,
                len(body),
                0,
                b"",
                0,
                0,
                b"",
                b"",
            )
            self._buffer += body
            self.pad(len(body))
        self._header(
            name,
            prefix,
            entry.type,
            entry.mode,
            min(entry.uid, _OCTAL_7),
            min(entry.gid, _OCTAL_7),
            min(entry.size, _OCTAL_11),
            seconds,
            link[:100],
            entry.devmajor,
            entry.devminor,
            entry.uname,
            entry.gname,
        )

    def data(self, piece: bytes | memoryview) -> None:
        """Some of the current entry's bytes."""
        if len(piece) < PIECE // 4:
            self._buffer += piece
            if len(self._buffer) >= PIECE:
                self.flush()
        else:
            self.flush()
            self._write(piece)
            self._handed_out += len(piece)

    def pad(self, size: int) -> None:
        """Fills up to a block after `size` bytes of data."""
        if rest := -size % BLOCK:
            self._buffer += bytes(rest)
        if len(self._buffer) >= PIECE:
            self.flush()

    def file(self, name: bytes, data: bytes, *, mode: int = 0o644, mtime_ns: int = 0) -> None:
        """A small regular file, root's."""
        entry = Entry(name)
        entry.mode = mode
        entry.mtime_ns = mtime_ns
        entry.size = entry.real_size = len(data)
        self.add(entry)
        self.data(data)
        self.pad(len(data))

    def directory(self, name: bytes, *, mode: int = 0o755) -> None:
        """A directory, root's."""
        entry = Entry(name.rstrip(b"/") + b"/", h.DIRECTORY)
        entry.mode = mode
        self.add(entry)

    def flush(self) -> None:
        """Hands out what was collected."""
        if self._buffer:
            self._write(bytes(self._buffer))
            self._handed_out += len(self._buffer)
            self._buffer.clear()

    def finish(self) -> None:
        """The end-of-archive marker."""
        self._buffer += bytes(2 * BLOCK)
        self.flush()

    def _header(
        self,
        name: bytes,
        prefix: bytes,
        kind: bytes,
        mode: int,
        uid: int,
        gid: int,
        size: int,
        mtime: int,
        link: bytes,
        major: int,
        minor: int,
        uname: bytes,
        gname: bytes,
    ) -> None:
        block = h.HEADER.pack(
            name,
            b"%07o\0" % mode,
            b"%07o\0" % uid,
            b"%07o\0" % gid,
            b"%011o\0" % size,
            b"%011o\0" % mtime,
            b"        ",
            kind,
            link,
            b"ustar\x0000",
            uname[:31],
            gname[:31],
            b"%07o\0" % major,
            b"%07o\0" % minor,
            prefix,
        )
        self._buffer += block[:148] + b"%06o\0 " % h.checksum(block) + block[156:]


def _split_name(name: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    if len(name) <= 100:
        return b"", name
    if len(name) <= 256:
        slash = name.find(b"/", len(name) - 101, 156)
        if 0 < slash <= 155 and 0 < len(name) - slash - 1 <= 100:
            return name[:slash], name[slash + 1 :]
    records[b"path"] = name
    return b"", name[-100:]


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    size = len(body) + 1
    while size != len(body) + len(str(size)):
        size = len(body) + len(str(size))
    return b"%d" % size + body


def _filled(body: bytes, offset: int, align: int) -> bytes:
    """`body` with a comment behind it that makes it as long as an aligned file needs whose PAX header begins
    at `offset`; none where the data is aligned without."""
    blocks = (len(body) + BLOCK - 1) // BLOCK
    if not (offset + (BLOCK * (blocks + 2) if body else BLOCK)) % align:
        return body
    blocks = max(blocks, 1)
    while (offset + BLOCK * (blocks + 2)) % align or BLOCK * blocks - len(body) < _MIN_COMMENT:
        blocks += 1
    size = BLOCK * blocks - len(body)
    value = b" " * (size - len(b"%d comment=\n" % size))
    return body + b"%d comment=%b\n" % (size, value)


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    text = b"%s%d.%09d" % (sign, seconds, fraction)
    return text.rstrip(b"0").rstrip(b".")
