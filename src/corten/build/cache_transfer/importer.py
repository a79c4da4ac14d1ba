"""Importing: keys first, from documents; a layer is fetched only when it is used.

A record counts only over a base that this build has itself: what the document says of layers below is not
believed. Chain IDs are worked out, so that a layer is never taken for another one; its blob is verified by
digest, and what is in it by its diff ID, when it is fetched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from corten.build.cache_transfer.document import (
    CACHE_TYPE,
    MAX_DOCUMENT_BYTES,
    CacheDocument,
    CacheRecord,
    decode_document,
)
from corten.build.cache_transfer.imported import ImportedCache, ImportedRecord
from corten.build.cache_transfer.inline import document_of
from corten.build.cache_transfer.keyed import KeyedSource
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.mount_import import ImportedMount, MountImport
from corten.build.cache_transfer.options import (
    CacheImport,
    ImageCache,
    ImportPlace,
    LocalCache,
    RegistryCache,
)
from corten.build.cache_transfer.sources import CacheSource, LayoutSource, RegistrySource, StoreSource
from corten.build.export.protocols import RegistryAccess
from corten.build.graph import ImageSource, Vertex
from corten.build.graph import LayoutSource as ImageLayout
from corten.build.solve.result import BuiltLayer, Result
from corten.content import Lease
from corten.errors import CortenError, IntegrityError, NotFound
from corten.image.estargz.toc import is_estargz, own_annotations
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.digest import chain_ids
from corten.oci.image_config import decode_config
from corten.oci.manifest import MAX_CONFIG_BYTES, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Manifest

_LAYER_TYPES = frozenset({OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD})


async def read_document(source: CacheSource, manifest: Manifest) -> CacheDocument | None:
    """The document of a cache's manifest, or of an image's; None when it has none. IntegrityError,
    Unavailable."""
    if manifest.config.media_type == CACHE_TYPE:
        data = await source.document(manifest.config, MAX_DOCUMENT_BYTES)
        return decode_document(data, len(manifest.layers))
    return document_of(manifest)


def records_of(
    document: CacheDocument,
    blobs: Sequence[Descriptor],
    origin: str,
    bases: Mapping[str, BuiltLayer],
) -> dict[str, ImportedRecord]:
    """By key. `blobs` are the layers of the manifest, which lie at `origin`; `bases` the layers of this
    build's base images by chain ID."""
    found: dict[str, ImportedRecord] = {}
    for record in document.records:
        chain = _chain(document, record, blobs, origin, bases)
        result = None if chain is None else Result(chain)
        known = found.get(record.key)
        if known is None or known.result is None:
            found[record.key] = ImportedRecord(record.partial, result)
    return found


def _chain(
    document: CacheDocument,
    record: CacheRecord,
    blobs: Sequence[Descriptor],
    origin: str,
    bases: Mapping[str, BuiltLayer],
) -> tuple[BuiltLayer, ...] | None:
    if record.layers is None:
        return None
    layers = [document.layers[position] for position in record.layers]
    chain: list[BuiltLayer] = []
    for layer, chain_id in zip(layers, chain_ids([layer.diff_id for layer in layers]), strict=True):
        base = bases.get(chain_id)
        if base is not None:
            chain.append(base)
            continue
        if layer.blob is None or not layer.made_by:
            return None  # of a base that this build does not have
        blob = blobs[layer.blob]
        if blob.media_type not in _LAYER_TYPES:
            raise IntegrityError(f"the build cache has a layer of type {blob.media_type[:100]!r}")
        plain = Descriptor(blob.media_type, blob.digest, blob.size, own_annotations(blob.annotations))
        chain.append(BuiltLayer(chain_id, layer.diff_id, plain, origin, layer.made_by))
    return tuple(chain)


class CacheImporter:
    """For one build. What cannot be used is no failure: `note` is told."""

    def __init__(
        self,
        store: ImageStore,
        registry: RegistryAccess,
        keyed: KeyedStores,
        lease: Lease,
        note: Callable[[str], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._keyed = keyed
        self._lease = lease
        self._note = note

    async def load(
        self,
        imports: Sequence[CacheImport],
        targets: Iterable[Vertex],
        layers: Callable[[ImageSource | ImageLayout], Awaitable[tuple[BuiltLayer, ...]]],
    ) -> ImportedCache:
        """What all sources know of a build of `targets`; `layers` are those of a base image."""
        imported = ImportedCache()
        if not imports:
            return imported
        bases = await _bases(targets, layers)
        mounts: dict[str, ImportedMount] = {}
        for item in imports:
            try:
                await self._one(item, bases, imported, mounts)
            except CortenError as error:
                self._note(f"the build cache {item.place.name} is not used: {error.message}")
        imported.mounts = MountImport(self._store, self._lease, mounts) if mounts else None
        return imported

    async def _one(
        self,
        item: CacheImport,
        bases: Mapping[str, BuiltLayer],
        imported: ImportedCache,
        mounts: dict[str, ImportedMount],
    ) -> None:
        source = await self._source(item.place)
        manifests = await source.manifests()
        found = False
        for manifest in manifests:
            document = await read_document(source, manifest)
            if document is None:
                continue
            found = True
            document = await _with_diff_ids(document, manifest, source)
            records = records_of(document, manifest.layers, source.origin, bases)
            imported.add(records, {content.key: content.digest for content in document.contents})
            for mount in document.mounts if item.mounts else ():
                packs = tuple(manifest.layers[position] for position in mount.packs)
                mounts.setdefault(mount.id, ImportedMount(source, manifest.layers[mount.index], packs))
        if not manifests:
            self._note(f"there is no build cache {source.name} yet")
        elif not found:
            self._note(
                f"{source.name} brings no build cache along: it was not built with --cache-to type=inline"
            )

    async def _source(self, place: ImportPlace) -> CacheSource:
        if isinstance(place, LocalCache):
            return LayoutSource(Path(place.directory), place.tag, place.digest)
        if not isinstance(place, RegistryCache | ImageCache):
            return KeyedSource(self._keyed.open(place))
        if isinstance(place, ImageCache):
            with contextlib.suppress(NotFound):
                return StoreSource(self._store, place.reference)
        client = await self._registry(place.reference, insecure=place.insecure)
        return RegistrySource(client, place.reference)


async def _with_diff_ids(document: CacheDocument, manifest: Manifest, source: CacheSource) -> CacheDocument:
    """An image that brings its cache along has other diff IDs than its cache where its layers are eStargz:
    the config's."""
    is_image = manifest.config.media_type != CACHE_TYPE
    if not is_image or not any(is_estargz(layer.annotations) for layer in manifest.layers):
        return document
    diff_ids = decode_config(await source.document(manifest.config, MAX_CONFIG_BYTES)).diff_ids
    layers = tuple(
        msgspec.structs.replace(layer, diff_id=diff_ids[layer.blob])
        if layer.blob is not None and layer.blob < len(diff_ids)
        else layer
        for layer in document.layers
    )
    return msgspec.structs.replace(document, layers=layers)


async def _bases(
    targets: Iterable[Vertex],
    layers: Callable[[ImageSource | ImageLayout], Awaitable[tuple[BuiltLayer, ...]]],
) -> dict[str, BuiltLayer]:
    sources = {
        vertex.operation: None
        for target in targets
        for vertex in target.walk()
        if isinstance(vertex.operation, ImageSource | ImageLayout)
    }
    return {layer.id: layer for source in sources for layer in await layers(source)}
