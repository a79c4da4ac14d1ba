"""Which manifest a reference means: down from an index to one platform's image, all stored on the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from corten.content import ContentStore, Lease
from corten.errors import IntegrityError, NotFound
from corten.image.registry.client import RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import (
    CONFIG_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Manifest,
    decode_index,
    decode_manifest,
    media_type_of,
)
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference

_MAX_DEPTH = 4
_OLD_CONFIGS = frozenset({"application/octet-stream", ""})


@dataclass(frozen=True, slots=True)
class Found:
    """`target` is what the reference points to (an index, or the manifest itself); `others` are the manifests
    of further platforms, wanted as well."""

    target: Descriptor
    manifest: Descriptor
    others: tuple[Descriptor, ...] = ()


def is_artifact(manifest: Manifest) -> bool:
    """Whether a manifest is for something else than an image (a chart, a signature, an SBOM)."""
    kind = manifest.config.media_type
    return kind not in CONFIG_TYPES and kind not in _OLD_CONFIGS


class ManifestFinder:
    """Finds and stores the manifests of one reference, under the lease of its pull. `known` says that the
    name is there already, and may mean the same."""

    def __init__(
        self,
        content: ContentStore,
        client: RegistryClient,
        reference: Reference,
        platform: Platform,
        lease: Lease,
        *,
        known: bool,
    ) -> None:
        self._known = known
        self._content = content
        self._client = client
        self._reference = reference
        self._platform = platform
        self._lease = lease

    async def find(self, *, explicit: bool, all_platforms: bool) -> Found:
        """NotFound when no image fits the platform: with `all_platforms` another one will do, unless the
        platform was `explicit`ly asked for."""
        target = await self._target()
        manifest = target
        others: list[Descriptor] = []
        for _ in range(_MAX_DEPTH):
            if manifest.media_type not in INDEX_TYPES:
                return Found(target, manifest, tuple(others))
            manifest = await self._choose(manifest, others, all_platforms and not explicit, all_platforms)
        raise IntegrityError(f"index {target.digest} of {self._reference.familiar} is nested too deeply")

    async def _target(self) -> Descriptor:
        reference = self._reference
        if reference.digest is not None:
            return await self._get(reference.digest)
        assert reference.tag is not None
        if self._known:
            # A look costs nothing of docker.io's limit; a manifest that is here is not asked for again.
            told = await self._client.manifest_descriptor(reference.path, reference.tag)
            if told is not None and self._content.contains(told.digest):
                return self._stored(told.digest)
        return await self._get(reference.tag)

    async def _choose(
        self, index: Descriptor, others: list[Descriptor], any_will_do: bool, all_platforms: bool
    ) -> Descriptor:
        children = [
            child
            for child in decode_index(self._content.read(index.digest)).manifests
            if child.media_type in MANIFEST_TYPES | INDEX_TYPES
        ]
        runnable = [child for child in children if not _is_attestation(child)]
        position = choose([child.platform for child in runnable], self._platform)
        if position is None and any_will_do and runnable:
            position = 0
        if position is None:
            platforms = sorted({str(child.platform) for child in runnable if child.platform})
            raise NotFound(
                f"{self._reference.familiar} has no image for {self._platform} (it is for: "
                f"{', '.join(platforms) or 'none'}); say --platform to take another"
            )
        chosen = runnable[position]
        if all_platforms:
            for child in children:
                if child is not chosen:
                    await self._further(child, others, 0)
        return await self._child(chosen)

    async def _further(self, child: Descriptor, others: list[Descriptor], depth: int) -> None:
        stored = await self._child(child)
        if stored.media_type in MANIFEST_TYPES:
            others.append(stored)
        elif depth < _MAX_DEPTH:
            for grandchild in decode_index(self._content.read(stored.digest)).manifests:
                await self._further(grandchild, others, depth + 1)

    async def _child(self, child: Descriptor) -> Descriptor:
        stored = await self._get(child.digest)
        if stored.size != child.size:
            raise IntegrityError(
                f"manifest {child.digest} has {stored.size} bytes instead of the {child.size} announced"
            )
        if (stored.media_type in INDEX_TYPES) != (child.media_type in INDEX_TYPES):
            raise IntegrityError(
                f"manifest {child.digest} is announced as {child.media_type}, but is {stored.media_type}"
            )
        return msgspec.structs.replace(stored, media_type=child.media_type)

    async def _get(self, reference: str) -> Descriptor:
        if ":" in reference:
            self._lease.pin(reference)
            if self._content.contains(reference):
                return self._stored(Digest(reference))
        fetched = await self._client.manifest(self._reference.path, reference)
        digest = fetched.descriptor.digest
        await asyncio.to_thread(self._content.add, fetched.data, expected=digest, lease=self._lease)
        return fetched.descriptor

    def _stored(self, digest: Digest) -> Descriptor:
        self._lease.pin(digest)
        data = self._content.read(digest)
        kind = media_type_of(data)
        if kind in MANIFEST_TYPES:
            decode_manifest(data)
        return Descriptor(kind, digest, len(data))


def _is_attestation(child: Descriptor) -> bool:
    """BuildKit's provenance and SBOMs stand in an index as manifests for `unknown/unknown`."""
    annotations = child.annotations or {}
    return "vnd.docker.reference.type" in annotations or (
        child.platform is not None and child.platform.os == "unknown"
    )
