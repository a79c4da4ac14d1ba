"""Plain layers of a docker-archive, compressed on their way to a registry or layout, as skopeo does it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType

import msgspec
from isal import igzip

from corten.image.copy.endpoint import Read
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import DOCKER_LAYER, DOCKER_LAYER_GZIP

_PIECE = 1 << 20
_LEVEL = 2


def is_plain(layer: Descriptor) -> bool:
    """Whether a layer would be compressed."""
    return layer.media_type == DOCKER_LAYER


class CompressedLayer:
    """A layer in a temporary file, for its digest has to be known before it is sent; a context."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(dir=os.environ.get("TMPDIR", "/var/tmp"))  # noqa: SIM115

    async def fill(self, layer: Descriptor, read: Read) -> Descriptor:
        """Compresses; the descriptor of what came out."""
        found = _Hashed(self._file.fileno())
        # Neither name nor time: the same layer gives the same bytes.
        with igzip.IGzipFile(filename="", fileobj=found, mode="wb", compresslevel=_LEVEL, mtime=0) as stream:
            async for piece in read(0):
                await asyncio.to_thread(stream.write, piece)
        digest = Digest(f"sha256:{found.hash.hexdigest()}")
        return msgspec.structs.replace(layer, media_type=DOCKER_LAYER_GZIP, digest=digest, size=found.size)

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        """What came out."""
        while piece := await asyncio.to_thread(os.pread, self._file.fileno(), _PIECE, offset):
            offset += len(piece)
            yield piece

    def __enter__(self) -> CompressedLayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Hashed:
    """A file that hashes what is written to it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""
