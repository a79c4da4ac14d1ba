"""One copy: the manifest, what of an index is wanted, and the blobs side by side, none of them stored."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from corten.errors import IntegrityError, InvalidArgument, NotFound
from corten.image.copy.compression import CompressedLayer, is_plain
from corten.image.copy.conversion import is_foreign, oci_index, oci_manifest
from corten.image.copy.endpoint import Destination, Read, Source
from corten.image.layer_pipeline import short
from corten.image.model import Progress, Report, silent
from corten.image.registry.client import Fetched
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, algorithm_of, hex_of, sha256_of
from corten.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.platform import Platform, choose, host_platform

MULTI_ARCH = ("system", "all", "index-only")
_PARALLEL = 6
_REPORT_SECONDS = 0.1
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """`multi_arch`: which images of an index are copied; `platform`: what "system" means (this host).
    `preserve_digests`: rather fail than change a manifest."""

    multi_arch: str = "system"
    platform: Platform | None = None
    preserve_digests: bool = False


DEFAULTS = CopyOptions()


async def copy(
    source: Source,
    found: Fetched,
    destination: Destination,
    options: CopyOptions = DEFAULTS,
    report: Report = silent,
) -> Digest:
    """Copies `found`, which is at the top of `source`; the digest of what `destination` has then."""
    if options.multi_arch not in MULTI_ARCH:
        raise InvalidArgument(
            f"invalid choice {options.multi_arch!r} for --multi-arch: it is {', '.join(MULTI_ARCH)}"
        )
    copier = _Copier(source, destination, options, report)
    descriptor = await copier.document(found.descriptor, found.data, top=True, depth=0)
    await destination.commit()
    return descriptor.digest


class _Copier:
    def __init__(
        self, source: Source, destination: Destination, options: CopyOptions, report: Report
    ) -> None:
        self._source = source
        self._destination = destination
        self._options = options
        self._report = report
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._done: set[Digest] = set()
        self._compressed: dict[Digest, Descriptor] = {}

    async def document(self, descriptor: Descriptor, data: bytes, *, top: bool, depth: int) -> Descriptor:
        """A manifest or index with all below it; its descriptor at the destination."""
        if depth > _DEEPEST:
            raise IntegrityError(f"index {descriptor.digest} is nested too deeply")
        if descriptor.media_type in INDEX_TYPES:
            return await self._index(descriptor, data, top=top, depth=depth)
        if descriptor.media_type in MANIFEST_TYPES:
            return await self._manifest(descriptor, data, top=top)
        raise IntegrityError(
            f"cannot copy {descriptor.digest}: {descriptor.media_type[:100]!r} is no manifest that is known"
        )

    async def _index(self, descriptor: Descriptor, data: bytes, *, top: bool, depth: int) -> Descriptor:
        index = decode_index(data)
        if self._options.multi_arch == "system" and top:
            child = self._choose(descriptor, index.manifests)
            return await self.document(child, await self._child(child), top=top, depth=depth + 1)
        if self._options.multi_arch != "index-only":
            children = []
            for child in index.manifests:
                copied = await self.document(child, await self._child(child), top=False, depth=depth + 1)
                children.append(
                    msgspec.structs.replace(
                        child, digest=copied.digest, size=copied.size, media_type=copied.media_type
                    )
                )
            if tuple(children) != index.manifests:
                index = msgspec.structs.replace(index, manifests=tuple(children))
                data = encode(oci_index(index))
        if self._destination.oci_only and descriptor.media_type == DOCKER_INDEX:
            data = encode(oci_index(index))
        return await self._put(descriptor, data, OCI_INDEX, top=top)

    def _choose(self, descriptor: Descriptor, children: tuple[Descriptor, ...]) -> Descriptor:
        wanted = self._options.platform or host_platform()
        position = choose([child.platform for child in children], wanted)
        if position is None:
            have = ", ".join(sorted({str(child.platform) for child in children if child.platform})) or "none"
            raise NotFound(
                f"index {descriptor.digest} holds no image for {wanted} (it is for: {have}); "
                "say --platform to take another, or --all"
            )
        return children[position]

    async def _child(self, child: Descriptor) -> bytes:
        data = await self._source.manifest(child)
        if hashlib.new(algorithm_of(child.digest), data).hexdigest() != hex_of(child.digest):
            raise IntegrityError(f"digest mismatch: the manifest {child.digest} has another content")
        return data

    async def _manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> Descriptor:
        manifest = decode_manifest(data)
        await self._blobs((manifest.config, *manifest.layers))
        if self._compressed:
            layers = tuple(self._compressed.get(layer.digest, layer) for layer in manifest.layers)
            manifest = msgspec.structs.replace(manifest, layers=layers)
            data = encode(manifest)
        if self._destination.oci_only and descriptor.media_type == DOCKER_MANIFEST:
            data = encode(oci_manifest(manifest))
        converted = OCI_MANIFEST if self._destination.oci_only else descriptor.media_type
        return await self._put(descriptor, data, converted, top=top)

    async def _blobs(self, blobs: tuple[Descriptor, ...]) -> None:
        """All of them, side by side; the first failure ends the others."""
        wanted = {}
        for blob in blobs:
            if is_foreign(blob):
                self._report(Progress("Skipped foreign layer", short(blob)))
            elif blob.digest not in self._done:
                wanted[blob.digest] = blob
        try:
            async with asyncio.TaskGroup() as group:
                for blob in wanted.values():
                    group.create_task(self._blob(blob))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._done |= wanted.keys()

    async def _put(self, descriptor: Descriptor, data: bytes, converted: str, *, top: bool) -> Descriptor:
        if sha256_of(data) != descriptor.digest and algorithm_of(descriptor.digest) == "sha256":
            if self._options.preserve_digests:
                raise InvalidArgument(
                    f"cannot copy {descriptor.digest} with its digest preserved: the destination takes OCI's "
                    "media types only, and the manifest has Docker's"
                )
            descriptor = Descriptor(converted, sha256_of(data), len(data), platform=descriptor.platform)
        self._report(Progress("Writing manifest", short(descriptor)))
        await self._destination.put_manifest(descriptor, data, top=top)
        return descriptor

    async def _blob(self, blob: Descriptor) -> None:
        async with self._slots:
            if self._destination.compresses and self._source.made and is_plain(blob):
                with CompressedLayer() as layer:
                    self._report(Progress("Compressing", short(blob)))
                    smaller = await layer.fill(blob, lambda offset: self._verified(blob, offset))
                    self._compressed[blob.digest] = smaller
                    await self._send(smaller, layer.read, short(blob))
            else:
                await self._send(blob, lambda offset: self._verified(blob, offset), short(blob))

    async def _send(self, blob: Descriptor, read: Read, name: str) -> None:
        if await self._destination.has(blob):
            self._report(Progress("Already exists", name))
            return
        self._report(Progress("Copying", name, 0, blob.size))
        last = 0.0

        def tell(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _REPORT_SECONDS:
                last = now
                self._report(Progress("Copying", name, done, blob.size))

        done = await self._destination.put_blob(blob, read, self._source, tell)
        self._report(Progress(done or "Copied", name))

    async def _verified(self, blob: Descriptor, offset: int) -> AsyncIterator[bytes]:
        """The blob's bytes; IntegrityError at their end when they are others. What is read from an offset
        on, after a failed upload, is left to the registry to verify."""
        hashed = hashlib.new(algorithm_of(blob.digest))
        size = offset
        async for piece in self._source.blob(blob, offset):
            hashed.update(piece)
            size += len(piece)
            if size > blob.size:
                raise IntegrityError(f"blob {blob.digest} is longer than the {blob.size} bytes announced")
            yield piece
        if size != blob.size:
            raise IntegrityError(f"blob {blob.digest} has {size} bytes instead of the {blob.size} announced")
        if not offset and hashed.hexdigest() != hex_of(blob.digest):
            raise IntegrityError(
                f"digest mismatch: {blob.digest} was expected, the content has "
                f"{algorithm_of(blob.digest)}:{hashed.hexdigest()}"
            )
