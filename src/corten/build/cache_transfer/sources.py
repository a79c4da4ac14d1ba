"""Where caches are imported from: registries, images of the store, and image layouts in directories of the
client."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from corten.build.export.layout_index import read_index, read_small
from corten.content.streaming import blob_pieces, file_pieces
from corten.errors import IntegrityError, InvalidArgument, NotFound
from corten.image.copy.layout import blob_name
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, hex_of, is_digest
from corten.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    REF_NAME,
    Manifest,
    decode_index,
    decode_manifest,
)
from corten.oci.reference import Reference

_MOST_PLATFORMS = 64
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class CacheSource(Protocol):
    """One place. `name` is for messages, `origin` that of its layers' blobs (`BuiltLayer.origin`), known
    once the manifests are."""

    name: str
    origin: str

    async def manifests(self) -> list[Manifest]:
        """The manifest of the cache, or those of an image for several platforms; verified. Empty when there
        is nothing of that name. IntegrityError, Denied, Unavailable."""
        ...

    async def document(self, descriptor: Descriptor, limit: int) -> bytes:
        """A small blob, verified. NotFound, IntegrityError, Unavailable."""
        ...

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob from `offset` on. NOT verified."""
        ...


class RegistrySource:
    """A repository of a registry."""

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self.name = reference.familiar
        self.origin = ""
        self._client = client
        self._reference = reference

    async def manifests(self) -> list[Manifest]:
        """See CacheSource."""
        reference = self._reference
        try:
            top = await self._client.manifest(reference.path, reference.digest or reference.tag or "latest")
        except NotFound:
            return []
        tag = f":{reference.tag}" if reference.tag else ""
        self.origin = f"{reference.repository}{tag}@{top.descriptor.digest}"
        if top.descriptor.media_type in MANIFEST_TYPES:
            return [decode_manifest(top.data)]
        found = []
        for child in decode_index(top.data).manifests[:_MOST_PLATFORMS]:
            if child.media_type in MANIFEST_TYPES:
                found.append(await self._client.manifest(reference.path, child.digest))
        return [decode_manifest(item.data) for item in found if item.descriptor.media_type in MANIFEST_TYPES]

    async def document(self, descriptor: Descriptor, limit: int) -> bytes:
        """See CacheSource."""
        return await self._client.read_blob(self._reference.path, descriptor, limit=limit)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See CacheSource."""
        return self._client.blob(self._reference.path, descriptor, offset)


class StoreSource:
    """An image of the store."""

    def __init__(self, store: ImageStore, reference: Reference) -> None:
        self.name = reference.familiar
        image = store.resolve(reference.familiar)
        tag = f":{reference.tag}" if reference.tag else ""
        self.origin = f"{reference.repository}{tag}@{image.manifest.digest}"
        self._content = store.content
        self._manifest = image.manifest

    async def manifests(self) -> list[Manifest]:
        """See CacheSource."""
        return [decode_manifest(self._content.read(self._manifest.digest))]

    async def document(self, descriptor: Descriptor, limit: int) -> bytes:
        """See CacheSource."""
        return self._content.read(descriptor.digest, limit=limit)

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See CacheSource."""
        if not self._content.contains(descriptor.digest):
            raise NotFound(f"the image {self.name} does not hold the blob {descriptor.digest}")
        async for piece in blob_pieces(self._content, descriptor.digest, offset):
            yield piece


class LayoutSource:
    """A directory. It is a client's: no link in it is followed, and nothing is believed but digests."""

    def __init__(self, directory: Path, tag: str, digest: str = "") -> None:
        self.name = str(directory)
        self.origin = f"oci-layout:{directory}"
        self._directory = directory
        self._tag = tag
        self._digest = digest

    async def manifests(self) -> list[Manifest]:
        """See CacheSource."""
        return await asyncio.to_thread(self._manifests)

    def _manifests(self) -> list[Manifest]:
        index = read_index(self._directory)
        entry = None if index is None else self._pick(index.manifests)
        if entry is None:
            return []
        data = self._read(entry, MAX_MANIFEST_BYTES)
        if entry.media_type not in INDEX_TYPES:
            return [decode_manifest(data)]
        children = decode_index(data).manifests[:_MOST_PLATFORMS]
        return [
            decode_manifest(self._read(child, MAX_MANIFEST_BYTES))
            for child in children
            if child.media_type in MANIFEST_TYPES
        ]

    def _pick(self, entries: tuple[Descriptor, ...]) -> Descriptor | None:
        for entry in entries:
            if self._digest:
                if entry.digest == self._digest:
                    return entry
            elif (entry.annotations or {}).get(REF_NAME) == self._tag:
                return entry
        return None

    async def document(self, descriptor: Descriptor, limit: int) -> bytes:
        """See CacheSource."""
        return await asyncio.to_thread(self._read, descriptor, limit)

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        data = read_small(self._path(descriptor), limit)
        if data is None:
            raise NotFound(f"{self.name} does not hold the blob {descriptor.digest}")
        if hashlib.new(algorithm_of(descriptor.digest), data).hexdigest() != hex_of(descriptor.digest):
            raise IntegrityError(f"blob {descriptor.digest} in {self.name} is damaged: it has another digest")
        return data

    def _path(self, descriptor: Descriptor) -> Path:
        if not is_digest(descriptor.digest):
            raise IntegrityError(
                f"{self.name} names a blob by {descriptor.digest[:100]!r}, which is no digest"
            )
        return self._directory / blob_name(descriptor.digest)

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See CacheSource."""
        async for piece in file_pieces(await asyncio.to_thread(self._open, descriptor), offset):
            yield piece

    def _open(self, descriptor: Descriptor) -> int:
        path = self._path(descriptor)
        try:
            fd = os.open(path, _READ)
        except FileNotFoundError:
            raise NotFound(f"{self.name} does not hold the blob {descriptor.digest}") from None
        except OSError as error:
            raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidArgument(f"cannot read {path}: it is no regular file")
        return fd
