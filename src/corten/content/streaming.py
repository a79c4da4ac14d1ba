"""Blobs and files as asynchronous pieces, read in threads: the event loop does not wait for a disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from corten.content.store import ContentStore

_PIECE = 1 << 20


async def file_pieces(fd: int, offset: int = 0) -> AsyncIterator[bytes]:
    """What a file holds from `offset` on, in pieces of at most 1 MiB. The descriptor is closed at the end."""
    try:
        while piece := await asyncio.to_thread(os.pread, fd, _PIECE, offset):
            yield piece
            offset += len(piece)
    finally:
        os.close(fd)


async def data_pieces(data: bytes, offset: int = 0) -> AsyncIterator[bytes]:
    """The same of what is in memory, in one piece."""
    yield data[offset:]


async def blob_pieces(content: ContentStore, digest: str, offset: int = 0) -> AsyncIterator[bytes]:
    """The same of a blob of the store. NotFound."""
    async with aclosing(file_pieces(content.open(digest), offset)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece
