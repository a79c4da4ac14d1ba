"""Where caches are exported to: registries, and image layouts in directories of the client."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from corten.build.cache_transfer.collection import Part
from corten.build.cache_transfer.options import LocalCache
from corten.build.cache_transfer.sources import CacheSource, LayoutSource, RegistrySource
from corten.build.export.assembly import Document
from corten.build.export.byte_stream import Write, stream_of
from corten.build.export.exporter import ExportedFile
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.layout_index import other_entries
from corten.build.export.protocols import Status
from corten.build.export.upload import Upload
from corten.content import ContentStore
from corten.image.archive_writer import write_blob
from corten.image.copy.layout import LAYOUT, blob_name
from corten.image.registry.client import RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import OCI_INDEX, REF_NAME, Index, encode
from corten.oci.reference import Reference
from corten.snapshot.tar_writer import TarWriter


class CacheTarget(Protocol):
    """One place; `source` reads what is there already."""

    name: str
    source: CacheSource

    async def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there."""
        ...

    async def write(
        self, parts: Sequence[Part], config: Document, manifest: Document, status: Status
    ) -> ExportedFile | None:
        """Adds what is not there; the manifest comes last. A file is for the client to write."""
        ...


class RegistryTarget:
    """A tag of a repository."""

    def __init__(
        self, client: RegistryClient, reference: Reference, content: ContentStore, blobs: LayerBlobs
    ) -> None:
        self.name = reference.familiar
        self.source: CacheSource = RegistrySource(client, reference)
        self._client = client
        self._reference = reference
        self._content = content
        self._blobs = blobs

    async def has(self, blob: Descriptor) -> bool:
        """See CacheTarget."""
        return await self._client.blob_exists(self._reference.path, blob.digest)

    async def write(
        self, parts: Sequence[Part], config: Document, manifest: Document, status: Status
    ) -> ExportedFile | None:
        """See CacheTarget."""
        upload = Upload(self._client, self._reference.path, self._content, self._blobs)
        by_digest = {part.blob.digest: (part.blob, part.layer) for part in parts}
        mark = self._reference.tag or "latest"
        await upload.send(by_digest, (config, manifest), [mark], status)
        return None


class LocalTarget:
    """A directory of the client, which gets a tar of what is missing there."""

    def __init__(self, place: LocalCache, content: ContentStore, blobs: LayerBlobs) -> None:
        self.name = place.directory
        self._directory = Path(place.directory)
        self._tag = place.tag
        self.source: CacheSource = LayoutSource(self._directory, place.tag)
        self._content = content
        self._blobs = blobs

    async def has(self, blob: Descriptor) -> bool:
        """See CacheTarget."""
        return self._has(blob)

    def _has(self, blob: Descriptor) -> bool:
        try:
            status = (self._directory / blob_name(blob.digest)).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == blob.size

    async def write(
        self, parts: Sequence[Part], config: Document, manifest: Document, status: Status
    ) -> ExportedFile | None:
        """See CacheTarget."""
        missing = [part for part in parts if not self._has(part.blob)]
        layers = [part.layer for part in missing if part.layer is not None]
        await self._blobs.bring([layer for layer in layers if not layer.is_made_here], status)
        blobs = list({part.blob.digest: part.blob for part in missing}.values())
        return ExportedFile(self.name, True, self._stream(blobs, config, manifest))

    def _stream(
        self, blobs: Sequence[Descriptor], config: Document, manifest: Document
    ) -> AsyncIterator[bytes]:
        entry = Descriptor(
            manifest.descriptor.media_type,
            manifest.descriptor.digest,
            manifest.descriptor.size,
            {REF_NAME: self._tag},
        )

        def produce(write: Write) -> None:
            tar = TarWriter(write)
            for name in ("blobs", "blobs/sha256"):
                tar.directory(name.encode())
            for blob in blobs:
                write_blob(tar, self._content, blob)
            for document in (config, manifest):
                tar.file(blob_name(document.descriptor.digest).encode(), document.data)
            entries = (*other_entries(self._directory, [entry]), entry)
            index = Index(manifests=entries, schema_version=2, media_type=OCI_INDEX)
            tar.file(b"oci-layout", LAYOUT)
            tar.file(b"index.json", encode(index))
            tar.finish()

        return stream_of(produce)
