"""All `--cache-to` of one build."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from corten.build.cache_transfer.collection import Collection
from corten.build.cache_transfer.document import (
    CACHE_TYPE,
    MAX_DOCUMENT_BYTES,
    CacheDocument,
    encode_document,
)
from corten.build.cache_transfer.importer import read_document
from corten.build.cache_transfer.inline import annotations_of
from corten.build.cache_transfer.keyed import KeyedTarget
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.mount_export import MountExport
from corten.build.cache_transfer.options import CacheExport, InlineCache, LocalCache, RegistryCache
from corten.build.cache_transfer.protocols import MountReader
from corten.build.cache_transfer.targets import CacheTarget, LocalTarget, RegistryTarget
from corten.build.context.model import ContentCache
from corten.build.export.assembly import Document
from corten.build.export.exporter import ExportedFile
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.protocols import RegistryAccess, Status
from corten.build.plan.model import PlannedImage
from corten.content import Lease
from corten.errors import CortenError, Unsupported
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from corten.oci.manifest import OCI_MANIFEST, Manifest, encode


class CacheExporter:
    """For one build. `contents` knows digests of files of cache mounts; `note` is told of what fails and is
    to be ignored."""

    def __init__(
        self,
        store: ImageStore,
        registry: RegistryAccess,
        keyed: KeyedStores,
        lease: Lease,
        blobs: LayerBlobs,
        mounts: MountReader,
        note: Callable[[str], None],
        *,
        contents: ContentCache | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._keyed = keyed
        self._lease = lease
        self._blobs = blobs
        self._mounts = mounts
        self._note = note
        self._contents = contents

    async def inline(
        self,
        exports: Sequence[CacheExport],
        collection: Collection,
        images: Sequence[PlannedImage],
        status: Status,
    ) -> list[Mapping[str, str]]:
        """The annotations with which each image brings its cache along (`Exporter.export`); none at all
        where that was not asked for."""
        wanted = next((item for item in exports if isinstance(item.place, InlineCache)), None)
        if wanted is None:
            return []
        try:
            return [annotations_of(await collection.inline(image, status)) for image in images]
        except CortenError as error:
            self._ignore(wanted, error)
            return []

    async def export(
        self, exports: Sequence[CacheExport], collection: Collection, status: Status
    ) -> list[ExportedFile]:
        """To all other places. Files are for the client to write."""
        files = []
        for item in exports:
            try:
                file = await self._one(item, collection, status)
            except CortenError as error:
                self._ignore(item, error)
                continue
            if file is not None:
                files.append(file)
        return files

    def _ignore(self, item: CacheExport, error: CortenError) -> None:
        if not item.ignore_error:
            raise error
        self._note(f"the build cache was not exported: {error.message}")

    async def _one(self, item: CacheExport, collection: Collection, status: Status) -> ExportedFile | None:
        target = await self._target(item)
        if target is None:
            return None
        document, parts = await collection.collect(
            every_layer=item.mode == "max", compression=item.compression, status=status
        )
        if item.mounts:
            earlier = await _earlier(target)
            mounts = await MountExport(self._mounts, self._store.content, self._lease, self._contents).export(
                collection.mount_ids(), target, earlier, len(parts), status
            )
            parts += mounts.parts
            document = msgspec.structs.replace(document, mounts=tuple(mounts.mounts))
        data = encode_document(document)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise Unsupported(f"the build cache knows too many steps to be exported: {len(data)} bytes")
        config = Document(Descriptor(CACHE_TYPE, sha256_of(data), len(data)), data)
        manifest = Manifest(
            config=config.descriptor,
            layers=tuple(part.blob for part in parts),
            schema_version=2,
            media_type=OCI_MANIFEST,
            artifact_type=CACHE_TYPE,
        )
        encoded = encode(manifest)
        top = Document(Descriptor(OCI_MANIFEST, sha256_of(encoded), len(encoded)), encoded)
        return await target.write(parts, config, top, status)

    async def _target(self, item: CacheExport) -> CacheTarget | None:
        place = item.place
        if isinstance(place, InlineCache):
            return None
        if isinstance(place, LocalCache):
            return LocalTarget(place, self._store.content, self._blobs)
        if not isinstance(place, RegistryCache):
            return KeyedTarget(self._keyed.open(place), self._store.content, self._blobs)
        client = await self._registry(place.reference, insecure=place.insecure)
        return RegistryTarget(client, place.reference, self._store.content, self._blobs)


async def _earlier(target: CacheTarget) -> tuple[Manifest, CacheDocument] | None:
    """The cache that is there; None where there is none that we can read."""
    try:
        for manifest in await target.source.manifests():
            document = await read_document(target.source, manifest)
            if document is not None:
                return manifest, document
    except CortenError:
        return None
    return None
