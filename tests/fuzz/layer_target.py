"""What the fuzzers call: any bytes as a layer. Only an ArchiveError may come out, and every image that is
written can be read back whole.

Run it for longer with `python tests/fuzz/run_layer.py tests/fuzz/corpus/layer -max_total_time=600`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from corten.errors import ArchiveError
from corten.snapshot.erofs.image_reader import check
from corten.snapshot.erofs.layer_index import index_layer
from corten.snapshot.limits import Limits
from corten.snapshot.tar_header import checksum
from corten.snapshot.tar_reader import TarReader

LIMITS = Limits(
    max_bytes=1 << 24, max_entries=1000, max_pax=1 << 16, max_file=1 << 34, max_sparse_regions=1000
)
_BLOCK = 512


def mended(data: bytes) -> bytes:
    """With the checksums of what looks like headers put right: no fuzzer guesses them."""
    blocks = bytearray(data)
    for start in range(0, len(blocks) - _BLOCK + 1, _BLOCK):
        if blocks[start + 257 : start + 262] == b"ustar":
            total = checksum(bytes(blocks[start : start + _BLOCK]))
            blocks[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(blocks)


def one(data: bytes) -> None:
    """One input, in both ways to keep contents."""
    data = mended(data)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        for in_tar in (False, True):
            position = 0

            def read(size: int) -> bytes:
                nonlocal position
                piece = data[position : position + size]
                position += len(piece)
                return piece

            image = Path(scratch, f"image-{in_tar}")
            fd = os.open(image, os.O_RDWR | os.O_CREAT)
            try:
                reader = TarReader(read, limits=LIMITS)
                index_layer(reader, fd, device_size=(lambda: len(data)) if in_tar else None, limits=LIMITS)
            except ArchiveError:
                continue
            finally:
                os.close(fd)
            check(image, device_size=len(data) if in_tar else 0)
