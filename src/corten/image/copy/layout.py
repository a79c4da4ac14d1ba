"""OCI image layouts as the source or destination of a copy: directories and archives (image-layout.md)."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from corten.errors import ArchiveError, CortenError, InvalidArgument, NotFound
from corten.image.copy.endpoint import Read, Source, Tell
from corten.image.copy.files import Files, document
from corten.image.registry.client import Fetched
from corten.oci.descriptor import Descriptor
from corten.oci.digest import parse_digest
from corten.oci.manifest import (
    CONTAINERD_NAME,
    OCI_INDEX,
    REF_NAME,
    Index,
    decode_index,
    media_type_of,
)

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def blob_name(digest: str) -> str:
    """The path of a blob in a layout; InvalidArgument for what is no digest."""
    return "blobs/" + parse_digest(digest).replace(":", "/", 1)


class LayoutSource:
    """`name` picks an image by its tag; without one, there has to be just one."""

    domain = repository = ""
    made = False

    def __init__(self, files: Files, name: str, where: str) -> None:
        self._files = files
        self._name = name
        self._where = where

    async def top(self) -> Fetched:
        index = decode_index(await document(self._files, "index.json", self._where))
        entry = self._pick(index.manifests)
        data = await self.manifest(entry)
        kind = entry.media_type or media_type_of(data)
        return Fetched(msgspec.structs.replace(entry, media_type=kind, annotations=None), data)

    def _pick(self, entries: tuple[Descriptor, ...]) -> Descriptor:
        if self._name:
            for entry in entries:
                if self._name in _names(entry):
                    return entry
        elif len({entry.digest for entry in entries}) == 1:
            return entries[0]
        known = ", ".join(sorted({name for entry in entries for name in _names(entry)})) or "no name"
        if self._name:
            raise NotFound(f"{self._where} has no image {self._name!r} (it has: {known})")
        raise InvalidArgument(
            f"{self._where} holds {len(entries)} images: say which, by :TAG behind the path (it has: {known})"
        )

    async def manifest(self, descriptor: Descriptor) -> bytes:
        return await document(self._files, blob_name(descriptor.digest), self._where)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        return self._files.read(blob_name(descriptor.digest), offset)

    async def close(self) -> None:
        self._files.close()


def _names(entry: Descriptor) -> list[str]:
    annotations = entry.annotations or {}
    return [annotations[key] for key in (REF_NAME, CONTAINERD_NAME) if annotations.get(key)]


def named(descriptor: Descriptor, name: str) -> Descriptor:
    """An entry of index.json with its tag."""
    annotations = {REF_NAME: name} if name else None
    return msgspec.structs.replace(descriptor, annotations=annotations)


class LayoutDestination:
    """A directory; other images in it stay, one with the same tag is replaced."""

    oci_only = True
    compresses = True

    def __init__(self, path: str, name: str) -> None:
        self._root = Path(path)
        self._name = name
        self._top: Descriptor | None = None
        if self._root.exists() and not self._root.is_dir():
            raise InvalidArgument(f"cannot write an image layout to {path}: it is no directory")
        self._root.mkdir(parents=True, exist_ok=True)

    async def has(self, descriptor: Descriptor) -> bool:
        path = self._root / blob_name(descriptor.digest)
        return path.is_file() and path.stat().st_size == descriptor.size

    async def put_blob(self, descriptor: Descriptor, read: Read, source: Source, tell: Tell) -> str:
        await write_file(self._root / blob_name(descriptor.digest), read(0), tell)
        return ""

    async def put_manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> None:
        replace_file(self._root / blob_name(descriptor.digest), data)
        if top:
            self._top = descriptor

    async def commit(self) -> None:
        if self._top is None:
            raise ArchiveError("nothing was copied")
        replace_file(self._root / "oci-layout", LAYOUT)
        path = self._root / "index.json"
        old = decode_index(path.read_bytes()).manifests if path.is_file() else ()
        kept = [entry for entry in old if not self._replaces(entry, self._top)]
        entries = (*kept, named(self._top, self._name))
        index = Index(manifests=entries, schema_version=2, media_type=OCI_INDEX)
        replace_file(path, msgspec.json.encode(index))

    def _replaces(self, entry: Descriptor, top: Descriptor) -> bool:
        if self._name:
            return self._name in _names(entry)
        return entry.digest == top.digest and not _names(entry)

    async def close(self) -> None:
        """What was copied and is not named does no harm."""


async def write_file(path: Path, pieces: AsyncIterator[bytes], tell: Tell) -> None:
    """A file that has its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    done = 0
    try:
        with temporary.open("xb") as file:
            async for piece in pieces:
                file.write(piece)
                done += len(piece)
                tell(done)
        temporary.replace(path)
    except OSError as error:
        raise CortenError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """A small file, durable before it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise CortenError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
