"""Pushing: an image's manifest (or its index) and the blobs that the registry lacks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from corten.content import Lease
from corten.errors import IntegrityError, NotFound
from corten.image.layer_pipeline import short
from corten.image.model import Progress, Report, silent
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.image.tables import NameRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import (
    DOCKER_LAYER_FOREIGN,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Manifest,
    decode_index,
    decode_manifest,
)
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference

_PARALLEL = 5
_PIECE = 1 << 20
_REPORT_SECONDS = 0.1
_FOREIGN = "application/vnd.oci.image.layer.nondistributable."


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the registry has now under the reference."""

    reference: Reference
    digest: Digest
    size: int


async def push(
    store: ImageStore,
    client: RegistryClient,
    reference: Reference,
    *,
    platform: Platform | None = None,
    all_tags: bool = False,
    report: Report = silent,
) -> list[Pushed]:
    """One tag, or all tags of the repository. `report` gets Docker's progress (`Preparing`, `Pushing`,
    `Layer already exists`, `Mounted from x`, `Pushed`, `tag: digest: sha256:… size: n`)."""
    report(Progress(f"The push refers to repository [{reference.repository}]"))
    rows = _rows(store, reference, all_tags)
    result = []
    for row in rows:
        with store.content.lease() as lease:
            pusher = _Pusher(store, client, reference, platform, report, lease)
            target = await pusher.run(row)
        if reference.digest is None:
            report(Progress(f"{row.mark}: digest: {target.digest} size: {target.size}"))
        named = reference if reference.digest is not None else reference.with_tag(row.mark)
        result.append(Pushed(named, target.digest, target.size))
    return result


def _rows(store: ImageStore, reference: Reference, all_tags: bool) -> list[NameRow]:
    tables = store.registrar.tables
    if all_tags:
        rows = [row for row in tables.tags() if row.repository == reference.repository]
    elif reference.digest is not None:
        one = tables.digest(reference.repository, reference.digest)
        rows = [one] if one is not None else []
    else:
        one = tables.tag(reference.repository, reference.tag or "latest")
        rows = [one] if one is not None else []
    if not rows:
        raise NotFound(
            f"An image does not exist locally with the tag: {reference.familiar_name}"
            if all_tags or reference.digest is not None
            else f"An image does not exist locally with the tag: {reference.familiar}"
        )
    return rows


class _Pusher:
    """One tag."""

    def __init__(
        self,
        store: ImageStore,
        client: RegistryClient,
        reference: Reference,
        platform: Platform | None,
        report: Report,
        lease: Lease,
    ) -> None:
        self._store = store
        self._content = store.content
        self._client = client
        self._reference = reference
        self._repository = reference.path
        self._platform = platform
        self._report = report
        self._lease = lease
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._sources = _sources(store, reference)

    async def run(self, row: NameRow) -> Descriptor:
        """Blobs first, then the manifests that name them, the tag last: a push that dies leaves no tag that
        is broken."""
        target = self._chosen(msgspec.json.decode(row.target, type=Descriptor))
        manifests = self._manifests(target)
        blobs: dict[str, Descriptor] = {}
        for descriptor in manifests:
            if descriptor.media_type in MANIFEST_TYPES:
                document = self._document(descriptor)
                for blob in (*document.layers, document.config):
                    blobs.setdefault(blob.digest, blob)
        self._check(list(blobs.values()))
        for blob in blobs.values():
            self._report(Progress("Preparing", short(blob)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._guarded(blob)) for blob in blobs.values()]
        for task in tasks:
            if (failure := task.result()) is not None:
                raise failure
        for descriptor in manifests[:-1]:
            await self._put(descriptor, descriptor.digest)
        mark = row.mark if self._reference.digest is None else str(target.digest)
        await self._put(target, mark)
        self._record(row, target)
        return target

    def _record(self, row: NameRow, target: Descriptor) -> None:
        self._store.registrar.tables.set_digest(
            NameRow(row.repository, target.digest, row.image, msgspec.json.encode(target))
        )

    # -- what to push

    def _chosen(self, target: Descriptor) -> Descriptor:
        """The index when all of its images are here, else the one image of it that is; or that of the
        platform that was asked for."""
        self._lease.pin(target.digest)
        if target.media_type not in INDEX_TYPES:
            return target
        children = decode_index(self._content.read(target.digest)).manifests
        present = [child for child in children if self._is_complete(child)]
        if self._platform is None:
            if len(present) == len(children):
                return target
            wanted = self._store.platform
            self._report(
                Progress(
                    f"Only {len(present)} of the {len(children)} manifests of {self._reference.familiar} "
                    "are here: pushing a single platform"
                )
            )
        else:
            wanted = self._platform
        position = choose([child.platform for child in present], wanted)
        if position is None:
            raise NotFound(
                f"{self._reference.familiar} has no complete image for {wanted} here: pull it first"
            )
        child = present[position]
        return Descriptor(child.media_type, child.digest, child.size)

    def _is_complete(self, child: Descriptor) -> bool:
        if not self._content.contains(child.digest):
            return False
        self._lease.pin(child.digest)
        if child.media_type in INDEX_TYPES:
            nested = decode_index(self._content.read(child.digest)).manifests
            return all(self._is_complete(grandchild) for grandchild in nested)
        document = self._document(child)
        return all(
            self._content.contains(blob.digest) or _is_foreign(blob)
            for blob in (document.config, *document.layers)
        )

    def _manifests(self, target: Descriptor) -> list[Descriptor]:
        """`target` and all below it, what is named before what names it."""
        result: list[Descriptor] = []
        if target.media_type in INDEX_TYPES:
            for child in decode_index(self._content.read(target.digest)).manifests:
                result += self._manifests(child)
        return [*result, target]

    def _document(self, descriptor: Descriptor) -> Manifest:
        self._lease.pin(descriptor.digest)
        return decode_manifest(self._content.read(descriptor.digest))

    def _check(self, blobs: list[Descriptor]) -> None:
        """Before anything is sent: all is here, and of the size that the manifest says."""
        for blob in blobs:
            self._lease.pin(blob.digest)
            if _is_foreign(blob) and not self._content.contains(blob.digest):
                continue
            size = self._content.info(blob.digest).size
            if size != blob.size:
                raise IntegrityError(
                    f"blob {blob.digest} is damaged on disk: it has {size} bytes instead of {blob.size}; "
                    "load or pull the image again"
                )

    # -- sending

    async def _guarded(self, blob: Descriptor) -> Exception | None:
        """The failure as a result: a TaskGroup would wrap it; the others end by themselves."""
        try:
            async with self._slots:
                await self._blob(blob)
        except Exception as error:
            return error
        return None

    async def _blob(self, blob: Descriptor) -> None:
        name = short(blob)
        if _is_foreign(blob):
            self._report(Progress("Skipped foreign layer", name))
            return
        if await self._client.blob_exists(self._repository, blob.digest):
            self._report(Progress("Layer already exists", name))
            return
        source = self._sources.get(blob.digest, "")
        self._report(Progress("Pushing", name, 0, blob.size))
        sent = await self._client.upload_blob(
            self._repository, blob, self._reader(blob), mount_from=source, progress=self._telling(blob)
        )
        self._report(Progress("Pushed" if sent else f"Mounted from {source}", name))

    def _reader(self, blob: Descriptor) -> Callable[[int], AsyncIterator[bytes]]:
        async def read(offset: int) -> AsyncIterator[bytes]:
            fd = self._content.open(blob.digest)
            try:
                while piece := await asyncio.to_thread(os.pread, fd, _PIECE, offset):
                    yield piece
                    offset += len(piece)
            finally:
                os.close(fd)

        return read

    def _telling(self, blob: Descriptor) -> Callable[[int], None]:
        last = 0.0

        def tell(done: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _REPORT_SECONDS:
                last = time.monotonic()
                self._report(Progress("Pushing", short(blob), done, blob.size))

        return tell

    async def _put(self, descriptor: Descriptor, reference: str) -> None:
        data = self._content.read(descriptor.digest)
        await self._client.put_manifest(self._repository, reference, data, descriptor.media_type)


def _is_foreign(blob: Descriptor) -> bool:
    """A layer that must not be distributed: registries get its manifest entry only."""
    return bool(blob.urls) and (
        blob.media_type == DOCKER_LAYER_FOREIGN or blob.media_type.startswith(_FOREIGN)
    )


def _sources(store: ImageStore, reference: Reference) -> dict[str, str]:
    """For blobs by digest: another repository of the same registry that has them, to be mounted from."""
    tables = store.registrar.tables
    result: dict[str, str] = {}
    for row in tables.digests():
        other = Reference.parse(row.repository, default_tag=False)
        if other.domain != reference.domain or other.path == reference.path or not row.image:
            continue
        image = tables.image(row.image)
        if image is not None:
            for layer in msgspec.json.decode(image.layers, type=tuple[Descriptor, ...]):
                result.setdefault(layer.digest, other.path)
    return result
