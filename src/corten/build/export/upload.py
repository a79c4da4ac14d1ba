"""Pushing what was exported: blobs first, the manifests that name them, the tags last.

A layer of a base image that is not here need not come here: a registry that has it in another repository
mounts it from there.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence

from corten.build.export.assembly import Document
from corten.build.export.concurrency import all_of
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.protocols import Status
from corten.build.solve.result import BuiltLayer
from corten.content import ContentStore
from corten.content.streaming import blob_pieces, data_pieces
from corten.image.registry.client import RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from corten.oci.reference import Reference

_PARALLEL = 5

Parts = Mapping[Digest, tuple[Descriptor, BuiltLayer | None]]
"""Blobs by digest, and the layers that they belong to: None for those that are in the store."""


class Upload:
    """To one repository."""

    def __init__(
        self, client: RegistryClient, repository: str, content: ContentStore, blobs: LayerBlobs
    ) -> None:
        self._client = client
        self._repository = repository
        self._content = content
        self._blobs = blobs
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def send(
        self, parts: Parts, documents: Sequence[Document], marks: Sequence[str], status: Status
    ) -> None:
        """`documents`: those that are no manifests are blobs; the last one is what `marks` (tags, or its
        digest) are put on."""
        small = [document for document in documents if not _is_manifest(document)]
        work = [self._layer(blob, layer, status) for blob, layer in parts.values()]
        await all_of([*work, *(self._document(document) for document in small)])
        manifests = [document for document in documents if _is_manifest(document)]
        for document in manifests[:-1]:
            await self._put(document, document.descriptor.digest)
        for mark in marks:
            name = f"{self._client.domain}/{self._repository}{'@' if ':' in mark else ':'}{mark}"
            status(f"pushing manifest for {name}", 0, 1, False)
            await self._put(manifests[-1], mark)
            status(f"pushing manifest for {name}", 1, 1, True)

    async def _put(self, document: Document, mark: str) -> None:
        kind = document.descriptor.media_type
        await self._client.put_manifest(self._repository, mark, document.data, kind)

    async def _document(self, document: Document) -> None:
        async with self._slots:
            digest = document.descriptor.digest
            if not await self._client.blob_exists(self._repository, digest):
                await self._client.upload_blob(
                    self._repository, document.descriptor, functools.partial(data_pieces, document.data)
                )

    async def _layer(self, blob: Descriptor, layer: BuiltLayer | None, status: Status) -> None:
        name = f"pushing layer {blob.digest}"
        async with self._slots:
            if await self._client.blob_exists(self._repository, blob.digest):
                status(name, blob.size, blob.size, True)
                return
            source = self._elsewhere(layer)
            if not self._content.contains(blob.digest) and layer is not None:
                if source and await self._client.mount_blob(self._repository, blob.digest, source):
                    status(name, blob.size, blob.size, True)
                    return
                await self._blobs.bring([layer], status)
            status(name, 0, blob.size, False)
            await self._client.upload_blob(
                self._repository,
                blob,
                functools.partial(blob_pieces, self._content, blob.digest),
                mount_from=source,
                progress=lambda done: status(name, done, blob.size, False),
            )
            status(name, blob.size, blob.size, True)

    def _elsewhere(self, layer: BuiltLayer | None) -> str:
        """Another repository of this registry that has the layer."""
        if layer is None or not layer.is_in_registry:
            return ""
        origin = Reference.parse(layer.origin)
        if origin.domain != self._client.domain or origin.path == self._repository:
            return ""
        return origin.path


def _is_manifest(document: Document) -> bool:
    return document.descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES
