"""Compressing layers: what comes out can be read by everybody, and is the same whoever makes it."""

import io
import os
import random
import zlib

import pytest
import zstandard

from corten.errors import InvalidArgument
from corten.image.compression import GZIP, PLAIN, Compression, compressor

SOME = random.Random(1).randbytes(300_000) * 3 + bytes(2 << 20) + random.Random(2).randbytes(700_000)


def compressed(compression: Compression, data: bytes, step: int = 1 << 20) -> bytes:
    pieces: list[bytes] = []
    work = compressor(compression, pieces.append)
    try:
        for start in range(0, len(data), step):
            work.write(data[start : start + step])
        work.finish()
    finally:
        work.close()
    return b"".join(pieces)


def inflate(compression: Compression, data: bytes) -> bytes:
    if compression.kind == "gzip":
        stream = zlib.decompressobj(31)
        plain = stream.decompress(data)
        assert stream.eof and not stream.unused_data
        return plain
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()


@pytest.mark.parametrize("data", [b"", b"x", SOME, bytes(1 << 20), bytes((1 << 20) + 1)], ids=len)
@pytest.mark.parametrize(
    "compression",
    [
        *(Compression("gzip", level) for level in (None, 0, 1, 3, 4, 9)),
        Compression("zstd"),
        Compression("zstd", 9),
    ],
    ids=str,
)
def test_one_stream_of_what_was_written(compression: Compression, data: bytes) -> None:
    assert inflate(compression, compressed(compression, data)) == data


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_neither_processors_nor_pieces_make_a_difference(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for processors, step in ((1, 1 << 20), (4, 1 << 20), (3, 70_001), (2, 5 << 20)):
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        found.add(compressed(Compression(kind), SOME, step))
    assert len(found) == 1


def test_the_header_tells_nothing() -> None:
    assert compressed(GZIP, b"x")[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"


def test_levels_that_store_and_that_try() -> None:
    sizes = [len(compressed(Compression("gzip", level), SOME)) for level in (0, 1, 9)]
    assert sizes[0] > len(SOME) > sizes[1] > sizes[2]


def test_nothing_compresses_plain() -> None:
    with pytest.raises(InvalidArgument):
        compressor(PLAIN, lambda data: None)
