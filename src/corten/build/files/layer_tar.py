"""The layer as it goes into an image: a plain tar, hashed while it is written."""

from __future__ import annotations

import errno
import os

from corten.errors import InvalidArgument, NoSpace
from corten.snapshot.digester import Digester
from corten.snapshot.erofs.contents import ALIGN, LARGE
from corten.snapshot.limits import DEFAULT_LIMITS
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter

PIECE = 1 << 20
ZEROS = bytes(PIECE)
"""A piece of a hole: given to `LayerTar.data`, it is hashed and counted, but takes no room on disk."""


class LayerTar:
    """Writes to the empty file `fd`. Large contents are aligned, so that an image can point to them (see
    `erofs.contents`). A context: leaving it ends the thread that hashes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._digest = Digester("sha256")
        self._writer = TarWriter(self._write)
        self.data = self._writer.data
        self.pad = self._writer.pad

    def add(self, entry: Entry) -> int:
        """Writes the header; where the data (`entry.size` bytes, then `pad`) begins."""
        self._writer.add(entry, align=ALIGN if entry.size >= LARGE else 0)
        offset = self._writer.offset
        if offset + entry.size > DEFAULT_LIMITS.max_bytes:
            raise InvalidArgument(
                f"the layer would have more than the limit of {DEFAULT_LIMITS.max_bytes} bytes: leave large "
                "files out by a .dockerignore"
            )
        return offset

    def finish(self) -> tuple[str, int]:
        """The end of the archive: (diff ID, size in bytes)."""
        self._writer.finish()
        # An image's second device ends with a whole block.
        self._writer.data(bytes(-self._writer.offset % ALIGN))
        self._writer.flush()
        size = self._writer.offset
        os.ftruncate(self._fd, size)
        return f"sha256:{self._digest.hexdigest()}", size

    def _write(self, data: bytes | memoryview) -> None:
        piece = bytes(data) if isinstance(data, memoryview) else data
        self._digest.update(piece)
        try:
            if piece is ZEROS:
                os.lseek(self._fd, len(piece), os.SEEK_CUR)
                return
            written = os.write(self._fd, piece)
            while written < len(piece):
                written += os.write(self._fd, memoryview(piece)[written:])
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("cannot write the layer: the disk is full") from error
            raise

    def __enter__(self) -> LayerTar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._digest.__exit__(None, None, None)
