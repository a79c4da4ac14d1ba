"""A list on disk: parts of 1,000 entries, each compressed by itself, then a summary, its length, and a mark.

part … part, summary (msgpack), length of the summary (8 bytes), MARK
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec
import zstandard

from corten.errors import IntegrityError

MARK = b"corten-layer-1\n"
PART = 1000
MOST_PART = 16 << 20
"""A part that is larger when it is decompressed is not one of ours."""


class FileEntry(msgspec.Struct, frozen=True, array_like=True):
    """A member of a layer. `path` is relative, without a slash at its end; `kind` is one of
    `file dir link hardlink device fifo removed opaque`; `content` is the beginning of the data's SHA-256."""

    path: bytes
    kind: str
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    link: bytes = b""
    content: bytes = b""


class Directory(msgspec.Struct, frozen=True, array_like=True):
    """What lies below a directory."""

    path: bytes
    files: int
    size: int


class Summary(msgspec.Struct, frozen=True):
    """What a list says in the whole. `problem` is why the layer could not be read to its end, or ""."""

    offsets: list[int] = []
    count: int = 0
    files: int = 0
    directories: int = 0
    removed: int = 0
    bytes: int = 0
    largest: list[FileEntry] = []
    by_directory: list[Directory] = []
    problem: str = ""


_PARTS = msgspec.msgpack.Decoder(list[FileEntry])
_SUMMARY = msgspec.msgpack.Decoder(Summary)


def write_list(file: BinaryIO, entries: Sequence[FileEntry], summary: Summary) -> None:
    """The whole file; `summary.offsets` is filled in."""
    compressor = zstandard.ZstdCompressor(level=3)
    offsets: list[int] = []
    position = 0
    for begin in range(0, len(entries), PART):
        part = compressor.compress(msgspec.msgpack.encode(entries[begin : begin + PART]))
        offsets.append(position)
        position += file.write(part)
    tail = msgspec.msgpack.encode(msgspec.structs.replace(summary, offsets=[*offsets, position]))
    file.write(tail + len(tail).to_bytes(8, "big") + MARK)


class ListFile:
    """A list that is open. IntegrityError for what was not written by `write_list`."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        try:
            self.summary = self._read_summary()
        except BaseException:
            self._file.close()
            raise

    def _read_summary(self) -> Summary:
        end = self._file.seek(0, 2)
        self._file.seek(max(0, end - len(MARK) - 8))
        tail = self._file.read()
        length = int.from_bytes(tail[:8], "big")
        start = end - len(MARK) - 8 - length
        if tail[8:] != MARK or start < 0:
            raise IntegrityError("the list of a layer's files is damaged")
        self._file.seek(start)
        try:
            return _SUMMARY.decode(self._file.read(length))
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"the list of a layer's files is damaged: {error}") from error

    def part(self, number: int) -> list[FileEntry]:
        """The entries from `number` times PART on."""
        start, end = self.summary.offsets[number : number + 2]
        self._file.seek(start)
        try:
            data = zstandard.ZstdDecompressor().decompress(
                self._file.read(end - start), max_output_size=MOST_PART
            )
            return _PARTS.decode(data)
        except (zstandard.ZstdError, msgspec.MsgspecError) as error:
            raise IntegrityError(f"the list of a layer's files is damaged: {error}") from error

    def __iter__(self) -> Iterator[FileEntry]:
        for number in range(len(self.summary.offsets) - 1):
            yield from self.part(number)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ListFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
