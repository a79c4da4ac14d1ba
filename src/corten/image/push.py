"""Pushing: an image's manifest (or its index) and the blobs that the registry lacks.

Layers that are stored as plain tars, and came from no registry, are compressed on their way, once
(`blob_variants`). The manifest that names them so is stored as well; the config, and with it the image's ID,
stays what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from corten.content import Lease
from corten.content.streaming import blob_pieces
from corten.errors import IntegrityError, NotFound
from corten.image.compression import GZIP
from corten.image.layer_pipeline import short
from corten.image.model import Progress, Report, silent
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.image.tables import NameRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, sha256_of
from corten.oci.image_config import decode_config
from corten.oci.manifest import (
    CONFIG_TYPES,
    DOCKER_LAYER,
    DOCKER_LAYER_FOREIGN,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG_BYTES,
    OCI_LAYER,
    Index,
    Manifest,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference

_PARALLEL = 5
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
            known = await asyncio.to_thread(_known, store, reference)
            pusher = _Pusher(store, client, reference, platform, report, lease, known)
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
        known: tuple[dict[str, str], set[str]],
    ) -> None:
        """`known`: see `_known`."""
        self._store = store
        self._content = store.content
        self._client = client
        self._reference = reference
        self._repository = reference.path
        self._platform = platform
        self._report = report
        self._lease = lease
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._sources, self._distributed = known

    async def run(self, row: NameRow) -> Descriptor:
        """Blobs first, then the manifests that name them, the tag last: a push that dies leaves no tag that
        is broken."""
        target = self._chosen(msgspec.json.decode(row.target, type=Descriptor))
        manifests = self._manifests(target)
        blobs: dict[str, Descriptor] = {}
        plain: set[Digest] = set()
        told: dict[str, Report] = {}
        for descriptor in manifests:
            if descriptor.media_type in MANIFEST_TYPES:
                document = self._document(descriptor)
                for blob in (*document.layers, document.config):
                    blobs.setdefault(blob.digest, blob)
                told.update((layer.digest, self._report) for layer in document.layers)
                plain |= self._plain(document)
        self._check(list(blobs.values()))
        for digest in told:
            self._report(Progress("Preparing", short(blobs[digest])))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    digest: group.create_task(self._send(blob, digest in plain, told.get(digest, silent)))
                    for digest, blob in blobs.items()
                }
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the first: it has ended the others
        sent = {digest: task.result() for digest, task in tasks.items()}
        for descriptor in manifests:
            sent[descriptor.digest] = self._rewritten(descriptor, sent)
        for descriptor in manifests[:-1]:
            await self._put(sent[descriptor.digest], sent[descriptor.digest].digest)
        target = sent[target.digest]
        mark = row.mark if self._reference.digest is None else str(target.digest)
        await self._put(target, mark)
        self._record(row, target)
        return target

    def _record(self, row: NameRow, target: Descriptor) -> None:
        with contextlib.suppress(NotFound):  # it has been removed here, and is there nevertheless
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

    def _plain(self, document: Manifest) -> set[Digest]:
        """The layers that are compressed on their way: plain tars, unless a registry has them as they are."""
        candidates = {
            layer.digest
            for layer in document.layers
            if layer.media_type in (OCI_LAYER, DOCKER_LAYER) and layer.digest not in self._distributed
        }
        if not candidates or document.config.media_type not in CONFIG_TYPES:
            return set()
        config = decode_config(self._content.read(document.config.digest, limit=MAX_CONFIG_BYTES))
        return candidates.intersection(Digest(diff_id) for diff_id in config.diff_ids)

    def _rewritten(self, descriptor: Descriptor, sent: dict[str, Descriptor]) -> Descriptor:
        """A manifest or index that names what was sent; itself, when that is what it names."""
        document: Manifest | Index
        if descriptor.media_type in INDEX_TYPES:
            index = decode_index(self._content.read(descriptor.digest))
            children = tuple(_moved(child, sent) for child in index.manifests)
            if children == index.manifests:
                return descriptor
            document = msgspec.structs.replace(index, manifests=children)
        elif descriptor.media_type in MANIFEST_TYPES:
            manifest = self._document(descriptor)
            layers = tuple(sent[layer.digest] for layer in manifest.layers)
            if layers == manifest.layers:
                return descriptor
            document = msgspec.structs.replace(manifest, layers=layers)
        else:
            return descriptor
        data = encode(document)
        self._content.add(data, lease=self._lease)
        return msgspec.structs.replace(descriptor, digest=sha256_of(data), size=len(data))

    # -- sending

    async def _send(self, blob: Descriptor, plain: bool, report: Report) -> Descriptor:
        """What was sent. Progress has one name for a layer, also when what is sent has another digest."""
        name = short(blob)
        async with self._slots:
            if plain:
                blob = await self._compressed(blob, report)
            return await self._blob(blob, name, report)

    async def _compressed(self, blob: Descriptor, report: Report) -> Descriptor:
        variants, oci = self._store.variants, blob.media_type == OCI_LAYER
        if not variants.has(blob, GZIP):
            report(Progress("Compressing", short(blob), 0, blob.size))
        tell = _telling(report, "Compressing", short(blob), blob.size)
        return await variants.get(blob, GZIP, self._lease, plain=True, oci=oci, tell=tell)

    async def _blob(self, blob: Descriptor, name: str, report: Report) -> Descriptor:
        if _is_foreign(blob):
            report(Progress("Skipped foreign layer", name))
            return blob
        if await self._client.blob_exists(self._repository, blob.digest):
            report(Progress("Layer already exists", name))
            return blob
        source = self._sources.get(blob.digest, "")
        report(Progress("Pushing", name, 0, blob.size))
        sent = await self._client.upload_blob(
            self._repository,
            blob,
            functools.partial(blob_pieces, self._content, blob.digest),
            mount_from=source,
            progress=_telling(report, "Pushing", name, blob.size),
        )
        report(Progress("Pushed" if sent else f"Mounted from {source}", name))
        return blob

    async def _put(self, descriptor: Descriptor, reference: str) -> None:
        data = self._content.read(descriptor.digest)
        await self._client.put_manifest(self._repository, reference, data, descriptor.media_type)


def _is_foreign(blob: Descriptor) -> bool:
    """A layer that must not be distributed: registries get its manifest entry only."""
    return bool(blob.urls) and (
        blob.media_type == DOCKER_LAYER_FOREIGN or blob.media_type.startswith(_FOREIGN)
    )


def _telling(report: Report, status: str, name: str, total: int) -> Callable[[int], None]:
    """Reports now and then how many bytes are done."""
    last = 0.0

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            report(Progress(status, name, done, total))

    return tell


def _moved(child: Descriptor, sent: dict[str, Descriptor]) -> Descriptor:
    """An entry of an index, for what was made of its manifest."""
    made = sent.get(child.digest, child)
    return msgspec.structs.replace(child, digest=made.digest, size=made.size)


def _known(store: ImageStore, reference: Reference) -> tuple[dict[str, str], set[str]]:
    """For blobs by digest: another repository of the same registry that has them, to be mounted from; and
    the layers that any registry has. Blocks: it reads the manifests of all names."""
    sources: dict[str, str] = {}
    distributed: set[str] = set()
    for row in store.registrar.tables.digests():
        layers = _layers(store, msgspec.json.decode(row.target, type=Descriptor))
        distributed |= layers
        other = Reference.parse(row.repository, default_tag=False)
        if other.domain == reference.domain and other.path != reference.path:
            for layer in layers:
                sources.setdefault(layer, other.path)
    return sources, distributed


def _layers(store: ImageStore, target: Descriptor) -> set[str]:
    try:
        if target.media_type in INDEX_TYPES:
            children = decode_index(store.content.read(target.digest)).manifests
            return {layer for child in children for layer in _layers(store, child)}
        return {layer.digest for layer in decode_manifest(store.content.read(target.digest)).layers}
    except (IntegrityError, NotFound):
        return set()
