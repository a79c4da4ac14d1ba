"""Base images for builds: found in the store or in a registry by manifest and config alone, and fetched layer
by layer when an operation needs them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from corten.build.cache_transfer.keyed_stores import ORIGIN, KeyedStores
from corten.build.cache_transfer.sources import LayoutSource as CacheLayout
from corten.build.export.protocols import RegistryAccess
from corten.build.graph import ImageSource, LayoutSource
from corten.build.plan.model import ResolvedImage
from corten.build.solve.protocols import Status
from corten.build.solve.result import BuiltLayer
from corten.content import Lease
from corten.engine.build_layers import BlobFetch, LayerFetcher
from corten.errors import IntegrityError, NotFound, Unavailable, Unsupported
from corten.image.copy.files import DirectoryFiles
from corten.image.copy.layout import LayoutSource as LayoutReader
from corten.image.pull_manifest import ManifestFinder, is_artifact
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, chain_ids
from corten.oci.image_config import ImageConfig, decode_config
from corten.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG_BYTES,
    Manifest,
    decode_index,
    decode_manifest,
    media_type_of,
)
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference

_MAX_DEPTH = 4

Observe = Callable[[str, Awaitable["ResolvedImage"]], Awaitable["ResolvedImage"]]
"""Shows the look-up of a reference as a step of the build."""


@dataclass(frozen=True, slots=True)
class _Document:
    """An image's manifest and config, both in the content store."""

    manifest: Manifest
    config: ImageConfig


class BuildImages:
    """What one build needs of images: `plan.ImageResolver` and `solve.protocols.Images`.

    What it finds stays pinned by `lease`. `pull`: the registry is asked even when the store has the name.
    `layouts` are the directories behind `--build-context NAME=oci-layout://…`, by name; `caches` have the
    layers of imported ones.
    """

    def __init__(
        self,
        store: ImageStore,
        registry: RegistryAccess,
        lease: Lease,
        *,
        pull: bool = False,
        layouts: Mapping[str, Path] | None = None,
        caches: KeyedStores | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._store = store
        self._content = store.content
        self._registry = registry
        self._lease = lease
        self._pull = pull
        self._layouts = dict(layouts or {})
        self._caches = caches or KeyedStores()
        self._observe = observe
        self._resolved: dict[tuple[str, str, Platform], asyncio.Task[ResolvedImage]] = {}
        self._fetcher = LayerFetcher(store, lease, self._origin)

    async def close(self) -> None:
        """Ends look-ups that are going on."""
        for task in self._resolved.values():
            task.cancel()
        await asyncio.gather(*self._resolved.values(), return_exceptions=True)

    # -- plan.ImageResolver

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        """See `plan.ImageResolver`. NotFound, Denied, Unavailable."""
        return await self._once(("", reference, platform), lambda: self._resolve(reference, platform))

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        """See `plan.ImageResolver`."""
        key = (context, selector, platform)
        return await self._once(key, lambda: self._resolve_layout(context, selector, platform))

    async def _once(
        self, key: tuple[str, str, Platform], look: Callable[[], Awaitable[ResolvedImage]]
    ) -> ResolvedImage:
        task = self._resolved.get(key)
        if task is None:

            async def run() -> ResolvedImage:
                if self._observe is None:
                    return await look()
                return await self._observe(f"{key[0]}{'@' if key[0] else ''}{key[1]}", look())

            task = self._resolved[key] = asyncio.create_task(run())
        return await asyncio.shield(task)

    async def _resolve(self, text: str, platform: Platform) -> ResolvedImage:
        reference = Reference.parse(text)
        local = self._local(reference, platform)
        if local is not None and not (self._pull and reference.digest is None):
            return local
        try:
            return await self._remote(reference, platform)
        except (NotFound, Unavailable) as error:
            raise type(error)(f"{error.message}{_hint(reference)}") from error

    def _local(self, reference: Reference, platform: Platform) -> ResolvedImage | None:
        """What the store has under this name for this platform, whole or without its layers."""
        target = self._target(reference)
        if target is None:
            return None
        try:
            document = self._document(target, platform)
        except (NotFound, IntegrityError):
            return None
        if document.config.platform.normalized() not in platform.candidates():
            return None
        self._pin(target, document)
        self._store.uses.now(document.manifest.config.digest)
        return ResolvedImage(_with_digest(reference, target.digest), document.config)

    def _target(self, reference: Reference) -> Descriptor | None:
        tables = self._store.registrar.tables
        if reference.digest is None:
            row = tables.tag(reference.repository, reference.tag or "latest")
            return msgspec.json.decode(row.target, type=Descriptor) if row is not None else None
        self._lease.pin(reference.digest)
        if not self._content.contains(reference.digest):
            return None
        data = self._content.read(reference.digest)
        return Descriptor(media_type_of(data), reference.digest, len(data))

    async def _remote(self, reference: Reference, platform: Platform) -> ResolvedImage:
        client = await self._registry(reference)
        finder = ManifestFinder(self._content, client, reference, platform, self._lease, known=True)
        found = await finder.find(explicit=True, all_platforms=False)
        manifest = decode_manifest(self._content.read(found.manifest.digest))
        if is_artifact(manifest):
            raise Unsupported(f"{reference.familiar} is an artifact, no image: nothing can be built on it")
        self._lease.pin(manifest.config.digest)
        if not self._content.contains(manifest.config.digest):
            data = await client.read_blob(reference.path, manifest.config, limit=MAX_CONFIG_BYTES)
            await asyncio.to_thread(
                self._content.add, data, expected=manifest.config.digest, lease=self._lease
            )
        document = self._document(found.target, platform)
        self._pin(found.target, document)
        return ResolvedImage(_with_digest(reference, found.target.digest), document.config)

    async def _resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        path = self._layouts.get(context)
        if path is None:
            raise NotFound(f"there is no build context {context!r}")
        files = DirectoryFiles(path)
        reader = LayoutReader(files, "" if ":" in selector else selector, str(path))
        if ":" in selector:
            digest = Digest(selector)
            data = await reader.manifest(Descriptor("", digest, 0))
        else:
            top = await reader.top()
            digest, data = top.descriptor.digest, top.data
        target = await self._adopt(digest, data)
        for _ in range(_MAX_DEPTH):
            if target.media_type not in INDEX_TYPES:
                break
            child = _choose(self._content.read(target.digest), platform, f"{path}")
            target = await self._adopt(child.digest, await reader.manifest(child))
        manifest = decode_manifest(self._content.read(target.digest))
        pieces = [piece async for piece in reader.blob(manifest.config)]
        await self._adopt(manifest.config.digest, b"".join(pieces))
        document = self._document(target, platform)
        return ResolvedImage(f"{context}@{digest}", document.config)

    async def _adopt(self, digest: Digest, data: bytes) -> Descriptor:
        await asyncio.to_thread(self._content.add, data, expected=digest, lease=self._lease)
        return Descriptor(media_type_of(data), digest, len(data))

    # -- solve.protocols.Images

    async def layers(self, source: ImageSource | LayoutSource) -> tuple[BuiltLayer, ...]:
        """See `solve.protocols.Images`."""
        if isinstance(source, ImageSource):
            digest = Reference.parse(source.reference).digest
            origin = source.reference
        else:
            digest = Digest(source.digest)
            origin = f"oci-layout:{source.name}"
        if digest is None:
            raise NotFound(f"{source} has no digest")
        data = self._content.read(digest)
        document = self._document(Descriptor(media_type_of(data), digest, len(data)), source.platform)
        diff_ids = document.config.diff_ids
        return tuple(
            BuiltLayer(chain_id, diff_id, blob, origin)
            for chain_id, diff_id, blob in zip(
                chain_ids(diff_ids), diff_ids, document.manifest.layers, strict=True
            )
        )

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """See `solve.protocols.Images`. Blobs come into the content store as well."""
        await self._fetcher.fetch(layers, status)

    async def _origin(self, origin: str) -> BlobFetch:
        if origin.startswith("oci-layout:"):
            # A named context of this build, or the absolute path of a directory with an exported cache.
            name = origin.removeprefix("oci-layout:")
            path = Path(name) if name.startswith("/") else self._layouts.get(name)
            if path is None:
                raise NotFound(f"there is no build context {name!r}")
            return CacheLayout(path, "").blob
        if origin.startswith(ORIGIN):
            return self._caches.fetch(origin)
        reference = Reference.parse(origin)
        client = await self._registry(reference)
        return functools.partial(client.blob, reference.path)

    # -- documents in the store

    def _document(self, target: Descriptor, platform: Platform) -> _Document:
        """Down from an index to the image for `platform`. NotFound when a part is not here."""
        for _ in range(_MAX_DEPTH):
            if target.media_type in MANIFEST_TYPES:
                manifest = decode_manifest(self._content.read(target.digest))
                config = decode_config(self._content.read(manifest.config.digest, limit=MAX_CONFIG_BYTES))
                if len(config.diff_ids) != len(manifest.layers):
                    raise IntegrityError(
                        f"image {target.digest} is inconsistent: its config names {len(config.diff_ids)}"
                        f" layers, its manifest {len(manifest.layers)}"
                    )
                return _Document(manifest, config)
            target = _choose(self._content.read(target.digest), platform, target.digest)
        raise IntegrityError(f"index {target.digest} is nested too deeply")

    def _pin(self, target: Descriptor, document: _Document) -> None:
        for digest in (target.digest, document.manifest.config.digest):
            self._lease.pin(digest)
        for layer in document.manifest.layers:
            self._lease.pin(layer.digest)


def _choose(index: bytes, platform: Platform, where: str) -> Descriptor:
    children = [
        child
        for child in decode_index(index).manifests
        if child.media_type in MANIFEST_TYPES | INDEX_TYPES
        and "vnd.docker.reference.type" not in (child.annotations or {})
    ]
    position = choose([child.platform for child in children], platform)
    if position is None:
        raise NotFound(f"{where} has no image for {platform}")
    return children[position]


def _with_digest(reference: Reference, digest: str) -> str:
    """`docker.io/library/busybox:latest@sha256:…`."""
    tag = f":{reference.tag}" if reference.tag else ""
    return f"{reference.repository}{tag}@{digest}"


def _hint(reference: Reference) -> str:
    """How to get along without a registry."""
    if reference.familiar_name in ("busybox", "debian"):
        return f"; 'corten image bootstrap {reference.familiar_name}' makes one here"
    return "; 'corten load -i FILE' brings an image without a registry"
