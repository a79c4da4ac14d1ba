"""Blobs and files in pieces."""

import os
from contextlib import aclosing
from pathlib import Path

import pytest

from corten.content import ContentStore
from corten.content.streaming import blob_pieces, file_pieces
from corten.errors import NotFound


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_a_blob_from_an_offset_on(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    data = os.urandom((2 << 20) + 5)
    digest = content.add(data).digest
    pieces = [piece async for piece in blob_pieces(content, digest)]
    assert b"".join(pieces) == data and len(pieces) == 3
    assert b"".join([piece async for piece in blob_pieces(content, digest, 1 << 20)]) == data[1 << 20 :]
    assert [piece async for piece in blob_pieces(content, digest, len(data))] == []


async def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        async for _piece in blob_pieces(ContentStore(tmp_path), "sha256:" + "0" * 64):
            pass


async def test_the_descriptor_is_closed_when_nobody_reads_on(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    blob = content.add(bytes(3 << 20))
    before = descriptors()
    for pieces in (
        file_pieces(os.open(content.path(blob.digest), os.O_RDONLY)),
        blob_pieces(content, blob.digest),
    ):
        async with aclosing(pieces):  # type: ignore[type-var]
            async for _piece in pieces:
                break
        assert descriptors() == before
