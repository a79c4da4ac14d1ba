"""A blob on its way in: what has come may be read by any number of clients while more comes.

The bytes are not verified before the last of them is here. Readers keep back the end of what they send
until then, so that nobody gets the whole of a blob whose digest is wrong.
"""

from __future__ import annotations

import asyncio
import os

from corten.errors import CortenError
from corten.registry.metadata.records import Blob


class Broken(Exception):
    """What was read so far is not to be gone on with."""


class Fetch:
    """The state of one download, in one process. `size` is what the manifest says."""

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.stored: Blob | None = None
        self.failure: CortenError | None = None
        self._fd = -1
        self._attempt = 0
        self._readable = 0
        self._is_verified = False
        self._changed = asyncio.Event()

    # -- the side that fetches

    def begin(self, fd: int) -> None:
        """The bytes will come into the file `fd`, which is closed with this."""
        self._close()
        self._fd = fd
        self._attempt += 1
        self._readable = 0

    def advance(self, readable: int) -> None:
        """So many bytes may be read."""
        if readable > self._readable:
            self._readable = readable
            self._tell()

    def verify(self) -> None:
        """All bytes are here, and their digest is right."""
        self._readable = self.size
        self._is_verified = True
        self._tell()

    def finish(self, blob: Blob) -> None:
        """The blob is stored."""
        self.stored = blob
        self.verify()
        self._close()

    def fail(self, error: CortenError) -> None:
        """It will not come, or cannot be stored."""
        self.failure = error
        self._close()
        self._tell()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- the side that reads

    async def begun(self, least: int) -> None:
        """Until there is something to read, and the whole of it when that is at most `least` bytes; or until
        it is stored, or has failed: raises that failure."""
        while self.stored is None:
            if self.failure is not None:
                raise self.failure
            if self._fd >= 0 and self._readable > 0 and (self._is_verified or self.size > least):
                return
            await self._changed.wait()

    async def settled(self) -> Blob:
        """The stored blob; raises the failure."""
        while self.stored is None:
            if self.failure is not None:
                raise self.failure
            await self._changed.wait()
        return self.stored

    def reader(self) -> Reader:
        """Reads what has come, from now on; to be closed."""
        return Reader(self)

    def open(self) -> tuple[int, int]:
        """A descriptor of its own for a reader, and the attempt that it belongs to."""
        return os.dup(self._fd), self._attempt

    async def readable(self, attempt: int, offset: int, end: int) -> int:
        """Up to where a reader may read that wants the bytes from `offset` to `end`; waits until that is
        more than nothing. Broken."""
        while True:
            limit = end if self._is_verified else min(self._readable, end - 1)
            if attempt != self._attempt or (self.failure is not None and not self._is_verified):
                raise Broken
            if limit > offset:
                return limit
            await self._changed.wait()


class Reader:
    """One client's view of a Fetch. A context manager."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._fd, self._attempt = fetch.open()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    async def read(self, offset: int, end: int, most: int) -> bytes:
        """Some of the bytes from `offset` to `end`, at most `most`, when they are here. Broken."""
        limit = await self._fetch.readable(self._attempt, offset, end)
        piece = os.pread(self._fd, min(most, limit - offset), offset)
        if not piece:
            raise Broken
        return piece
