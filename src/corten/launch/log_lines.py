"""From the records of a log to what a client gets: lines chosen and stamped, in Docker's frames. No I/O."""

from __future__ import annotations

import time

import msgspec

from corten.launch.log_format import CONTINUES, HEADER, MAGIC, OVERHEAD, STDERR, STDOUT, STREAM_MASK

Record = tuple[int, int, bytes]  # time in ns, flags (see log_format), data


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: Docker's parameters of `logs`.

    `since_ns`, `until_ns`: Unix time in nanoseconds (0: no bound); a line counts by when its beginning was
    written. `tail`: the last so many lines (None: all). `timestamps`: RFC3339Nano and a blank before each
    line. `mux`: in Docker's frames (8-byte headers); without, the raw bytes of both streams, as for a
    container with a terminal.
    """

    since_ns: int = 0
    until_ns: int = 0
    tail: int | None = None
    timestamps: bool = False
    stdout: bool = True
    stderr: bool = True
    mux: bool = True

    def streams(self) -> int:
        """As flags of log_format."""
        return (STDOUT if self.stdout else 0) | (STDERR if self.stderr else 0)


class LineCounter:
    """Counts beginnings of lines backwards, until there are `wanted`.

    `skip` is, for each stream, how many bytes at its next record do not belong to the wanted lines: -1 says
    "up to the end of the line that continues there".
    """

    def __init__(self, wanted: int, streams: int) -> None:
        self._wanted = wanted
        self._streams = streams
        self._found = 0
        self.skip: dict[int, int] = {STDOUT: -1, STDERR: -1}
        self.is_full = wanted <= 0
        if self.is_full:
            self.skip = {}

    def count(self, flags: int, data: bytes) -> None:
        """One record further back."""
        stream = flags & STREAM_MASK
        if not stream & self._streams or not data:
            return
        position = len(data)
        if data.endswith(b"\n"):
            position -= 1  # a line that begins after it begins with the stream's next record, which counts it
        while True:
            newline = data.rfind(b"\n", 0, position)
            if newline < 0:
                break
            self._found += 1
            if self._found == self._wanted:
                self.skip[stream] = newline + 1
                self.is_full = True
                return
            position = newline
        if not flags & CONTINUES:
            self._found += 1
            if self._found == self._wanted:
                self.skip[stream] = 0
                self.is_full = True


class Formatter:
    """Turns records into what a client gets; keeps what a line that spans records needs."""

    def __init__(self, query: LogQuery) -> None:
        self._query = query
        self._streams = query.streams()
        self._is_plain = not (query.timestamps or query.since_ns or query.until_ns)
        self._skip: dict[int, int] = {}
        self._in_line = {STDOUT: False, STDERR: False}  # the line's beginning was given out
        self._second = -1
        self._second_text = b""
        self.is_past_end = False

    def skip(self, skip: dict[int, int]) -> None:
        """Leave out so many bytes of each stream's next record (see LineCounter.skip)."""
        self._skip = dict(skip)

    def format(self, records: list[Record]) -> bytes:
        """The bytes to send for `records`."""
        if self._skip:
            records = [record for record in map(self._skipped, records) if record[2]]
        if not self._is_plain:
            records = self._lines(records)
        return self._framed(records)

    def _skipped(self, record: Record) -> Record:
        when, flags, data = record
        stream = flags & STREAM_MASK
        count = self._skip.get(stream)
        if count is None:
            return record
        if count < 0:
            if flags & CONTINUES:
                count = data.find(b"\n") + 1
                if not count:
                    return when, flags, b""  # still that line: and so on in the next record
            else:
                count = 0
        del self._skip[stream]
        return when, (flags & ~CONTINUES if count else flags), data[count:]

    def _framed(self, records: list[Record]) -> bytes:
        """Records of one stream in a row become one frame: fewer headers, fewer and larger writes."""
        streams, mux = self._streams, self._query.mux
        if not mux:
            return b"".join([data for _when, flags, data in records if flags & streams])
        out: list[bytes] = []
        slot = last = length = 0
        for _when, flags, data in records:
            stream = flags & 3
            if not stream & streams:
                continue
            if stream != last:
                if last:
                    out[slot] = b"%c\0\0\0" % last + length.to_bytes(4, "big")
                slot, last, length = len(out), stream, 0
                out.append(b"")
            out.append(data)
            length += len(data)
        if last:
            out[slot] = b"%c\0\0\0" % last + length.to_bytes(4, "big")
        return b"".join(out)

    def _lines(self, records: list[Record]) -> list[Record]:
        query, out = self._query, []
        for when, flags, data in records:
            stream = flags & STREAM_MASK
            if not stream & self._streams:
                continue
            if query.until_ns and when > query.until_ns:
                # Clocks may be set back, but who asks for an end does not want to read gigabytes to be sure.
                self.is_past_end = True
                break
            if flags & CONTINUES and not self._in_line[stream]:
                rest = data.find(b"\n") + 1
                if not rest:
                    continue
                data, flags = data[rest:], flags & ~CONTINUES
                if not data:
                    self._in_line[stream] = True  # an ended line: the next record begins one
                    continue
            if query.since_ns and when < query.since_ns:
                self._in_line[stream] = False
                continue
            self._in_line[stream] = True
            if query.timestamps:
                data = self._stamped(when, flags, data)
            out.append((when, flags, data))
        return out

    def _stamped(self, when: int, flags: int, data: bytes) -> bytes:
        second, fraction = divmod(when, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        stamp = b"%s.%09dZ " % (self._second_text, fraction)
        ends = data.endswith(b"\n")
        body = (data[:-1] if ends else data).replace(b"\n", b"\n" + stamp)
        return (b"" if flags & CONTINUES else stamp) + body + (b"\n" if ends else b"")


def parse(data: bytes) -> tuple[list[Record], int]:
    """The whole records at the beginning of `data`, and where the rest begins.

    Bytes that are no record (a file that was damaged) end the log: everything from there is skipped.
    """
    records: list[Record] = []
    append = records.append
    unpack = HEADER.unpack_from
    head, over = HEADER.size, OVERHEAD
    position, size = 0, len(data)
    while position + over <= size:
        magic, flags, _zero, length, when = unpack(data, position)
        if magic != MAGIC:
            return records, size
        following = position + over + length
        if following > size:
            break
        begin = position + head
        append((when, flags, data[begin : begin + length]))
        position = following
    return records, position
