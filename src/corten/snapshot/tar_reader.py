"""A streaming tar reader: ustar, GNU long names, PAX with SCHILY.xattr, GNU sparse formats 0.0, 0.1, 1.0
and old.

It pulls pieces of 1 MiB, parses headers where they lie, and hands data out as views of the piece: nothing
is copied that need not be. Every number is checked before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from corten.errors import ArchiveError
from corten.snapshot import tar_header as h
from corten.snapshot.inflate import PIECE, Read
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.tar_header import BLOCK, Entry

_DATA_TYPES = frozenset({h.REGULAR, h.REGULAR_OLD, h.CONTIGUOUS, h.GNU_SPARSE})
_NO_DATA_TYPES = frozenset({h.HARD_LINK, h.SYMLINK, h.CHARACTER, h.BLOCK_DEVICE, h.DIRECTORY, h.FIFO})


class TarReader:
    """Iterate over it for entries; between two of them, `data()` gives the current one's bytes (or is
    skipped).

    `require_end` makes an archive without its end-of-archive marker an error; without it, such an archive
    must be checked by a digest. `skip` moves on in what `read` reads, where it can.
    """

    def __init__(
        self,
        read: Read,
        *,
        limits: Limits = DEFAULT_LIMITS,
        require_end: bool = False,
        what: str = "archive",
        skip: Callable[[int], None] | None = None,
    ) -> None:
        self._read = read
        self._limits = limits
        self._require_end = require_end
        self._skip = skip
        self._what = what
        self._buffer = b""
        self._position = 0
        self._left = 0  # bytes of the current entry's data that were not handed out
        self._padding = 0
        self._entries = 0
        self._globals: dict[bytes, bytes] = {}
        self.offset = 0  # of what was consumed

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self.next()) is not None:
            yield entry

    def next(self) -> Entry | None:
        """The next entry, or None at the end of the archive (the rest of the stream is then read as well)."""
        self._skip_data()
        pax: dict[bytes, bytes] = {}
        records: list[tuple[bytes, bytes]] = []
        long_name = long_link = None
        while True:
            block = self._header_block()
            if block is None:
                if pax or records or long_name is not None or long_link is not None:
                    raise self._error("it ends after an extended header")
                self._drain()
                return None
            kind = block[156:157]
            if kind == h.PAX_HEADER or kind == h.SOLARIS_HEADER:
                records = h.parse_pax(self._extension(block, "PAX header"))
                pax = dict(records)
            elif kind == h.PAX_GLOBAL:
                self._globals.update(h.parse_pax(self._extension(block, "PAX global header")))
            elif kind == h.GNU_LONG_NAME:
                long_name = self._extension(block, "GNU long name").partition(b"\0")[0]
            elif kind == h.GNU_LONG_LINK:
                long_link = self._extension(block, "GNU long link").partition(b"\0")[0]
            else:
                break
            self._count()
        self._count()
        return self._entry(block, pax, records, long_name, long_link)

    def data(self) -> Iterator[memoryview]:
        """The stored bytes of the current entry, in pieces."""
        while self._left:
            available = len(self._buffer) - self._position
            if not available:
                self._fill()
                continue
            size = min(available, self._left)
            start = self._position
            self._position += size
            self._left -= size
            self.offset += size
            yield memoryview(self._buffer)[start : start + size]

    def read_data(self, limit: int) -> bytes:
        """The whole data of the current entry; ArchiveError when it is more than `limit` bytes."""
        if self._left > limit:
            raise self._error(f"a member of {self._left} bytes is over the limit of {limit}")
        return b"".join(self.data())

    # -- blocks

    def _fill(self) -> None:
        self._buffer = self._read(PIECE)
        self._position = 0
        if not self._buffer:
            raise self._error("it ends in the middle (truncated)")

    def _take(self, size: int) -> bytes:
        """Exactly `size` bytes (small ones: headers and extensions)."""
        start = self._position
        if len(self._buffer) - start < size:
            parts = [self._buffer[start:]]
            have = len(parts[0])
            while have < size:
                piece = self._read(PIECE)
                if not piece:
                    raise self._error("it ends in the middle (truncated)")
                parts.append(piece)
                have += len(piece)
            self._buffer = b"".join(parts)
            start = self._position = 0
        self._position = start + size
        self.offset += size
        return self._buffer[start : self._position]

    def _header_block(self) -> bytes | None:
        """The next header, its checksum verified; None at the end."""
        if self._position >= len(self._buffer):
            self._buffer = self._read(PIECE)
            self._position = 0
            if not self._buffer:
                if self._require_end or not self.offset:
                    raise self._error("it ends without an end-of-archive marker (truncated)")
                return None
        block = self._take(BLOCK)
        if block == h.ZERO_BLOCK:
            if self._position < len(self._buffer) or self._more():
                second = self._take(BLOCK)
                if second != h.ZERO_BLOCK:
                    raise self._error("data follows a lone block of zeros")
            return None
        if not h.is_header(block):
            raise self._error(
                f"the header at byte {self.offset - BLOCK} has a wrong checksum: this is no tar"
            )
        return block

    def _more(self) -> bool:
        self._buffer = self._read(PIECE)
        self._position = 0
        return bool(self._buffer)

    def _drain(self) -> None:
        self._position = len(self._buffer)
        while piece := self._read(PIECE):
            self.offset += len(piece)
        self._buffer = b""
        self._position = 0

    def _skip_data(self) -> None:
        padding = 0 if self._require_end else self._padding
        left = self._left + self._padding
        self.offset += left
        self._left = self._padding = 0
        while left:
            available = len(self._buffer) - self._position
            if available >= left:
                self._position += left
                return
            left -= available
            if self._skip is not None and left > PIECE:
                # Up to the last byte: whether that is there tells that the rest is.
                self._skip(left - padding - 1)
                left = padding + 1
            if left > padding:
                self._fill()
            elif not self._more():
                return  # as Go's reader has it: docker's client writes archives that end so

    def _extension(self, block: bytes, what: str) -> bytes:
        size = h.number(block[124:136], "the size")
        if size < 0 or size > self._limits.max_pax:
            raise self._error(f"a {what} of {size} bytes is over the limit of {self._limits.max_pax}")
        return self._take((size + BLOCK - 1) // BLOCK * BLOCK)[:size]

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._limits.max_entries:
            raise self._error(f"it has more than the limit of {self._limits.max_entries} entries")

    def _error(self, why: str) -> ArchiveError:
        return ArchiveError(f"the {self._what} cannot be read: {why}")

    # -- entries

    def _entry(
        self,
        block: bytes,
        pax: dict[bytes, bytes],
        records: list[tuple[bytes, bytes]],
        long_name: bytes | None,
        long_link: bytes | None,
    ) -> Entry:
        fields = h.HEADER.unpack(block)
        magic = fields[9]
        entry = Entry(fields[0].partition(b"\0")[0], fields[7])
        if magic[:6] == b"ustar\0" or magic[:6] == b"ustar\x30":
            prefix = fields[14].partition(b"\0")[0]
            if prefix:
                entry.name = prefix + b"/" + entry.name
        entry.mode = h.number(fields[1], "the mode") & 0o7777
        entry.uid = h.number(fields[2], "the owner")
        entry.gid = h.number(fields[3], "the group")
        entry.size = h.number(fields[4], "the size")
        entry.mtime_ns = h.number(fields[5], "the time") * 1_000_000_000
        entry.linkname = fields[8].partition(b"\0")[0]
        if magic[:5] == b"ustar":
            entry.uname = fields[10].partition(b"\0")[0]
            entry.gname = fields[11].partition(b"\0")[0]
            if entry.type in (h.CHARACTER, h.BLOCK_DEVICE):
                entry.devmajor = h.number(fields[12], "the device")
                entry.devminor = h.number(fields[13], "the device")
        if long_name is not None:
            entry.name = long_name
        if long_link is not None:
            entry.linkname = long_link
        if self._globals:
            pax = self._globals | pax
        entry.real_size = entry.size
        if pax:
            self._apply_pax(entry, pax)
        self._check(entry)
        if entry.type in _DATA_TYPES:
            self._left = entry.size
            self._padding = -entry.size % BLOCK
            if entry.type == h.GNU_SPARSE:
                self._old_sparse(entry, block)
            elif pax:
                self._pax_sparse(entry, pax, records)
            if entry.name.endswith(b"/") and entry.type in (h.REGULAR, h.REGULAR_OLD):
                entry.type = h.DIRECTORY
        elif entry.type not in _NO_DATA_TYPES:
            raise self._error(f"member {_show(entry.name)} has the unknown type {entry.type!r}")
        elif entry.size and entry.type in (h.HARD_LINK,):
            # pax allows data behind a hard link; GNU tar and star write a size but no data unless in pax
            # format.
            entry.size = 0
        return entry

    def _apply_pax(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        for key, value in pax.items():
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.linkname = value
            elif key == b"size":
                entry.size = entry.real_size = h.pax_number(value, "size")
            elif key == b"uid":
                entry.uid = h.pax_number(value, "uid")
            elif key == b"gid":
                entry.gid = h.pax_number(value, "gid")
            elif key == b"mtime":
                entry.mtime_ns = h.pax_time(value)
            elif key == b"uname":
                entry.uname = value
            elif key == b"gname":
                entry.gname = value
            elif key.startswith(h.XATTR_PREFIX):
                if entry.xattrs is None:
                    entry.xattrs = {}
                entry.xattrs[key[len(h.XATTR_PREFIX) :]] = value

    def _check(self, entry: Entry) -> None:
        limits = self._limits
        if b"\0" in entry.name or b"\0" in entry.linkname:
            raise self._error(f"member {_show(entry.name)} has a NUL in its name")
        if len(entry.name) >= limits.max_path or len(entry.linkname) >= limits.max_path:
            raise self._error(f"member {_show(entry.name)} has a name of more than {limits.max_path} bytes")
        if entry.size < 0 or entry.size > limits.max_bytes:
            raise self._error(
                f"member {_show(entry.name)} claims {entry.size} bytes, the limit is {limits.max_bytes}"
            )
        if not (0 <= entry.uid < 0xFFFFFFFF and 0 <= entry.gid < 0xFFFFFFFF):
            raise self._error(
                f"member {_show(entry.name)} has the owner {entry.uid}:{entry.gid}: out of range"
            )
        if not -(1 << 63) < entry.mtime_ns < (1 << 63):
            raise self._error(f"member {_show(entry.name)} has a time that is out of range")

    # -- sparse files

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        """GNU's type S: four regions in the header, 21 more in each extension block."""
        entry.type = h.REGULAR
        numbers: list[int] = []
        self._sparse_fields(block[386:482], numbers)
        extended = block[482]
        entry.real_size = h.number(block[483:495], "the real size")
        while extended:
            more = self._take(BLOCK)
            self._sparse_fields(more[:504], numbers)
            extended = more[504]
        self._set_regions(entry, numbers)

    def _sparse_fields(self, data: bytes, numbers: list[int]) -> None:
        for start in range(0, len(data), 24):
            if not data[start] or len(numbers) > 2 * self._limits.max_sparse_regions:
                return
            numbers.append(h.number(data[start : start + 12], "a sparse offset"))
            numbers.append(h.number(data[start + 12 : start + 24], "a sparse size"))

    def _pax_sparse(self, entry: Entry, pax: dict[bytes, bytes], records: list[tuple[bytes, bytes]]) -> None:
        if b"GNU.sparse.major" in pax:
            if (pax[b"GNU.sparse.major"], pax.get(b"GNU.sparse.minor")) != (b"1", b"0"):
                raise self._error(f"member {_show(entry.name)} is sparse in an unknown format")
            entry.name = pax.get(b"GNU.sparse.name", entry.name)
            entry.real_size = h.pax_number(pax.get(b"GNU.sparse.realsize", b""), "GNU.sparse.realsize")
            self._set_regions(entry, self._sparse_map(entry))
        elif b"GNU.sparse.map" in pax:
            entry.name = pax.get(b"GNU.sparse.name", entry.name)
            entry.real_size = h.pax_number(pax.get(b"GNU.sparse.size", b""), "GNU.sparse.size")
            text = pax[b"GNU.sparse.map"]
            values = text.split(b",") if text else []
            self._set_regions(entry, [h.pax_number(value, "GNU.sparse.map") for value in values])
        elif b"GNU.sparse.size" in pax:
            entry.real_size = h.pax_number(pax[b"GNU.sparse.size"], "GNU.sparse.size")
            keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
            self._set_regions(entry, [h.pax_number(v, "a sparse region") for k, v in records if k in keys])
        else:
            return
        self._check(entry)

    def _sparse_map(self, entry: Entry) -> list[int]:
        """Format 1.0: the map stands in front of the data, decimal numbers each on a line, padded to a
        block."""
        text = self._map_block(entry)
        while b"\n" not in text:
            text += self._map_block(entry)
        count = h.pax_number(text.partition(b"\n")[0], "the sparse map")
        if count > self._limits.max_sparse_regions:
            raise self._error(f"member {_show(entry.name)} has {count} sparse regions: too many")
        parts = [text]
        lines = text.count(b"\n")
        while lines < 2 * count + 1:
            block = self._map_block(entry)
            lines += block.count(b"\n")
            parts.append(block)
        return [
            h.pax_number(line, "the sparse map") for line in b"".join(parts).split(b"\n")[1 : 2 * count + 1]
        ]

    def _map_block(self, entry: Entry) -> bytes:
        if self._left < BLOCK:
            raise self._error(f"member {_show(entry.name)} has a sparse map that does not end")
        self._left -= BLOCK
        entry.size -= BLOCK
        return self._take(BLOCK)

    def _set_regions(self, entry: Entry, numbers: list[int]) -> None:
        if len(numbers) % 2 or len(numbers) > 2 * self._limits.max_sparse_regions:
            raise self._error(f"member {_show(entry.name)} has a malformed sparse map")
        end = stored = 0
        regions = list(zip(numbers[::2], numbers[1::2], strict=True))
        for offset, length in regions:
            if offset < end or length < 0 or offset + length > entry.real_size:
                raise self._error(f"member {_show(entry.name)} has a malformed sparse map")
            end = offset + length
            stored += length
        if stored != entry.size or entry.real_size > self._limits.max_file:
            raise self._error(f"member {_show(entry.name)} has a sparse map that does not fit its size")
        entry.sparse = regions


def _show(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "backslashreplace"))
