"""skopeo's `dir:` as the source or destination of a copy: manifest.json, and every blob by the hexadecimal
part of its digest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from corten.errors import ArchiveError, InvalidArgument
from corten.image.copy.endpoint import Read, Source, Tell
from corten.image.copy.files import DirectoryFiles, document
from corten.image.copy.layout import replace_file, write_file
from corten.image.registry.client import Fetched
from corten.oci.descriptor import Descriptor
from corten.oci.digest import hex_of, parse_digest, sha256_of
from corten.oci.manifest import media_type_of

_VERSION = b"Directory Transport Version: 1.1\n"


class DirectorySource:
    """One image, or an index with some of its images."""

    domain = repository = ""
    made = False

    def __init__(self, path: str) -> None:
        self._files = DirectoryFiles(Path(path))
        self._where = path

    async def top(self) -> Fetched:
        data = await document(self._files, "manifest.json", self._where)
        return Fetched(Descriptor(media_type_of(data), sha256_of(data), len(data)), data)

    async def manifest(self, descriptor: Descriptor) -> bytes:
        return await document(self._files, f"{_name(descriptor)}.manifest.json", self._where)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        return self._files.read(_name(descriptor), offset)

    async def close(self) -> None:
        self._files.close()


class DirectoryDestination:
    """A directory of its own: it is new or empty, or was made by such a copy."""

    oci_only = False
    compresses = False

    def __init__(self, path: str) -> None:
        self._root = Path(path)
        known = self._root / "version"
        if self._root.is_dir() and any(self._root.iterdir()) and not known.is_file():
            raise InvalidArgument(f"cannot copy an image to {path}: the directory holds other files")
        self._root.mkdir(parents=True, exist_ok=True)
        replace_file(known, _VERSION)
        self._top: bytes | None = None

    async def has(self, descriptor: Descriptor) -> bool:
        path = self._root / _name(descriptor)
        return path.is_file() and path.stat().st_size == descriptor.size

    async def put_blob(self, descriptor: Descriptor, read: Read, source: Source, tell: Tell) -> str:
        await write_file(self._root / _name(descriptor), read(0), tell)
        return ""

    async def put_manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> None:
        if top:
            self._top = data
        else:
            replace_file(self._root / f"{_name(descriptor)}.manifest.json", data)

    async def commit(self) -> None:
        if self._top is None:
            raise ArchiveError("nothing was copied")
        replace_file(self._root / "manifest.json", self._top)

    async def close(self) -> None:
        """What was copied and is not named does no harm."""


def _name(descriptor: Descriptor) -> str:
    return hex_of(parse_digest(descriptor.digest))
