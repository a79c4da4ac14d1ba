"""Compression told by magic, members after members, truncation, damage and bombs."""

import bz2
import gzip
import lzma

import pytest
import zstandard

from corten.errors import ArchiveError
from corten.snapshot.inflate import Inflater, compression_of
from corten.snapshot.limits import Limits
from tests.unit.snapshot.archives import read_from

PLAIN = bytes(range(256)) * 4000
PACKED = {
    "gzip": gzip.compress(PLAIN),
    "zstd": zstandard.compress(PLAIN),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "plain": PLAIN,
}


def inflate(data: bytes, piece: int = 1 << 20, **limits: int) -> tuple[str, bytes]:
    inflater = Inflater(read_from(data, piece), limits=Limits(**limits))
    return inflater.compression, b"".join(iter(lambda: inflater.read(1 << 20), b""))


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("piece", [1 << 20, 997])
def test_inflates(kind: str, piece: int) -> None:
    assert inflate(PACKED[kind], piece) == (kind, PLAIN)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_members_after_members(kind: str) -> None:
    assert inflate(PACKED[kind] * 3, 5000)[1] == PLAIN * 3


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_truncated(kind: str) -> None:
    for size in (7, len(PACKED[kind]) // 2, len(PACKED[kind]) - 1):
        with pytest.raises(ArchiveError):
            inflate(PACKED[kind][:size])


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_damaged(kind: str) -> None:
    data = bytearray(PACKED[kind])
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ArchiveError, match=kind):
        inflate(bytes(data))


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_bombs(kind: str) -> None:
    zeros = bytes(32 << 20)
    pack = {"gzip": gzip.compress, "zstd": zstandard.compress, "bzip2": bz2.compress, "xz": lzma.compress}[
        kind
    ]
    bomb = pack(zeros)
    assert inflate(bomb)[1] == zeros
    with pytest.raises(ArchiveError, match="bomb"):
        inflate(bomb, ratio_after=1 << 20)
    with pytest.raises(ArchiveError, match="limit"):
        inflate(bomb, max_bytes=1 << 20)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_output_comes_in_bounded_pieces(kind: str) -> None:
    bomb = gzip.compress(bytes(64 << 20)) if kind == "gzip" else zstandard.compress(bytes(64 << 20))
    inflater = Inflater(read_from(bomb))
    assert max(len(piece) for piece in iter(lambda: inflater.read(1 << 20), b"")) <= 40 << 20


def test_a_skippable_zstd_frame_in_front() -> None:
    frame = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert compression_of(frame) == "zstd"
    assert inflate(frame + PACKED["zstd"])[1] == PLAIN


def test_an_error_of_the_source_is_not_taken_for_damage() -> None:
    def broken(size: int) -> bytes:
        raise ConnectionResetError(104, "reset")

    with pytest.raises(ConnectionResetError):
        Inflater(broken)
