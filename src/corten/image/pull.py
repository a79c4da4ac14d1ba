"""Pulling: from a reference to an image that can be started."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import msgspec

from corten.content import Lease
from corten.errors import CortenError, NotFound, Unavailable, Unsupported
from corten.image.layer_pipeline import (
    DigestMismatch,
    Share,
    all_finished,
    short,
    unpack_while_downloading,
)
from corten.image.model import Image, Progress, Report, silent
from corten.image.pull_manifest import Found, ManifestFinder, is_artifact
from corten.image.registrar import ImagePlan, replace_annotations
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.image.tables import NameRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import MAX_CONFIG_BYTES, Manifest, decode_manifest
from corten.oci.platform import Platform
from corten.oci.reference import Reference

_KEPT_SECONDS = 24 * 3600
_REPORT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class PulledImage:
    """`image_id` is empty for an artifact (whose blobs are stored, which cannot be run). `newer` is False
    when it was there already."""

    reference: Reference
    image_id: str
    digest: Digest
    newer: bool
    artifact_type: str = ""


async def pull(
    store: ImageStore,
    client: RegistryClient,
    reference: Reference,
    *,
    platform: Platform | None = None,
    all_platforms: bool = False,
    all_tags: bool = False,
    report: Report = silent,
) -> list[PulledImage]:
    """One image, or with `all_tags` one per tag. `report` gets Docker's progress (`Pulling from x`,
    `Pulling fs layer`, `Downloading`, `Verifying Checksum`, `Download complete`, `Extracting`,
    `Pull complete`, `Already exists`, `Digest: …`, `Status: …`), on the event loop or from a thread."""
    references = [reference]
    if all_tags:
        tags = await client.tags(reference.path)
        if not tags:
            raise NotFound(f"{reference.familiar_name} has no tags")
        references = [reference.with_tag(tag) for tag in tags]
    pulled = []
    for one in references:
        try:
            puller = _Puller(store, client, one, platform, all_platforms, report)
            pulled.append(await puller.run())
        except DigestMismatch as error:
            if not error.resumed and not client.has_mirrors:
                raise
            # What was resumed may be damaged on disk, and a mirror may lie: once more, from the source.
            puller = _Puller(store, client.origin, one, platform, all_platforms, report)
            pulled.append(await puller.run())
    return pulled


class _Puller:
    """One reference."""

    def __init__(
        self,
        store: ImageStore,
        client: RegistryClient,
        reference: Reference,
        platform: Platform | None,
        all_platforms: bool,
        report: Report,
    ) -> None:
        self._store = store
        self._registrar = store.registrar
        self._content = store.content
        self._client = client
        self._reference = reference
        self._platform = platform
        self._all = all_platforms
        self._report = report
        self._kept: set[str] = set()

    async def run(self) -> PulledImage:
        """Everything; after a failure only verified layers and what can be resumed are left, for a day."""
        reference = self._reference
        self._report(Progress(f"Pulling from {reference.path}", reference.digest or reference.tag or ""))
        resumable = failed = True
        try:
            with self._content.lease() as lease:
                finder = ManifestFinder(
                    self._content,
                    self._client,
                    reference,
                    self._platform or self._store.platform,
                    lease,
                    known=self._row() is not None,
                )
                found = await finder.find(explicit=self._platform is not None, all_platforms=self._all)
                document = decode_manifest(self._content.read(found.manifest.digest))
                known = self._known(found.target)
                if is_artifact(document):
                    result = await self._artifact(found, document, lease, known)
                else:
                    result = await self._image(found, document, lease, known)
            failed = resumable = False
        except CortenError as error:
            resumable = isinstance(error, Unavailable)
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(self._end, failed, resumable))
        self._tell(result)
        return result

    def _end(self, failed: bool, resumable: bool) -> None:
        if not resumable:
            self._registrar.tables.give_up(self._kept)
        if failed:
            self._registrar.collect()

    def _tell(self, result: PulledImage) -> None:
        name = self._reference.familiar
        self._report(Progress(f"Digest: {result.digest}"))
        if result.artifact_type:
            self._report(
                Progress(
                    f"Status: {name} is an artifact of type {result.artifact_type}, no container image: its "
                    "blobs are stored, it cannot be run"
                )
            )
        elif result.newer:
            self._report(Progress(f"Status: Downloaded newer image for {name}"))
        else:
            self._report(Progress(f"Status: Image is up to date for {name}"))

    def _known(self, target: Descriptor) -> str:
        """The ID of the image that the reference means already, when it is the same."""
        row = self._row()
        if row is None or msgspec.json.decode(row.target, type=Descriptor).digest != target.digest:
            return ""
        return row.image

    def _row(self) -> NameRow | None:
        tables, reference = self._registrar.tables, self._reference
        if reference.digest is not None:
            return tables.digest(reference.repository, reference.digest)
        return tables.tag(reference.repository, reference.tag or "latest")

    # -- an artifact

    async def _artifact(self, found: Found, document: Manifest, lease: Lease, known: str) -> PulledImage:
        blobs = [blob for blob in (document.config, *document.layers) if blob.size or blob.digest]
        missing = any(not self._content.contains(blob.digest) for blob in blobs)
        await self._fetch_blobs(blobs, lease)
        await asyncio.to_thread(self._record_artifact, found)
        kind = document.artifact_type or document.config.media_type
        return PulledImage(self._reference, "", found.target.digest, missing, kind)

    # -- an image

    async def _image(self, found: Found, document: Manifest, lease: Lease, known: str) -> PulledImage:
        lease.pin(
            document.config.digest
        )  # before looking: somebody may just be removing the last image with it
        if not self._content.contains(document.config.digest):
            data = await self._client.read_blob(self._reference.path, document.config, limit=MAX_CONFIG_BYTES)
            await asyncio.to_thread(self._content.add, data, expected=document.config.digest, lease=lease)
        plan = self._registrar.plan(found.manifest)
        self._check_platform(plan)
        image = await self._layers(plan, found, lease)
        return PulledImage(self._reference, image.id, found.target.digest, known != image.id)

    def _check_platform(self, plan: ImagePlan) -> None:
        system = plan.config.os or "linux"
        if system != "linux":
            raise Unsupported(
                f"image {self._reference.familiar} is for {system}: only linux images can be run here"
            )
        if self._platform is not None:
            have = plan.config.platform.normalized()
            if have not in self._platform.candidates():
                raise NotFound(
                    f"image {self._reference.familiar} is for {have}, not for the platform "
                    f"{self._platform} that was asked for"
                )

    async def _layers(self, plan: ImagePlan, found: Found, lease: Lease) -> Image:
        """Downloads what is missing and unpacks it at the same time; then the image has a row and a name."""
        layers = plan.document.layers
        for blob in layers:
            lease.pin(blob.digest)
        keys = {found.target.digest, found.manifest.digest, plan.document.config.digest, *plan.chain}
        self._keep(keys | {layer.digest for layer in layers})
        shares: dict[str, Share] = {}
        try:
            for layer in layers:
                have = self._content.contains(layer.digest)
                if not have and layer.digest not in shares:
                    self._report(Progress("Pulling fs layer", short(layer)))
                    shares[layer.digest] = self._join(layer)
            with self._registrar.pin_chain(plan.chain):
                for chain_id, layer in zip(plan.chain, layers, strict=True):
                    if layer.digest not in shares and self._store.snapshotter.contains(chain_id):
                        self._report(Progress("Already exists", short(layer)))
                await self._unpack(plan, shares)
                await all_finished(shares)
                for other in found.others:
                    blobs = decode_manifest(self._content.read(other.digest))
                    await self._fetch_blobs((blobs.config, *blobs.layers), lease)
                return await asyncio.to_thread(self._record, plan, found)
        finally:
            for share in shares.values():
                await self._store.transfers.leave(share)

    async def _unpack(self, plan: ImagePlan, shares: dict[str, Share]) -> None:
        growing = {digest: share.growing for digest, share in shares.items()}

        def progress(layer: Descriptor, done: int, total: int) -> None:
            status = "Extracting" if total else "Pull complete"
            self._report(Progress(status, short(layer), done, total))

        def work() -> None:
            with self._store.snapshotter.session() as session:
                self._registrar.unpack(plan, session, growing, progress)

        await unpack_while_downloading(work, shares, "the pull was given up")

    async def _fetch_blobs(self, blobs: tuple[Descriptor, ...] | list[Descriptor], lease: Lease) -> None:
        """Blobs that are stored and not unpacked: other platforms, artifacts."""
        shares: dict[str, Share] = {}
        self._keep({blob.digest for blob in blobs})
        try:
            for blob in blobs:
                lease.pin(blob.digest)
                if self._content.contains(blob.digest):
                    self._report(Progress("Already exists", short(blob)))
                elif blob.digest not in shares:
                    shares[blob.digest] = self._join(blob)
            await all_finished(shares)
        finally:
            for share in shares.values():
                await self._store.transfers.leave(share)

    def _join(self, blob: Descriptor) -> Share:
        last = 0.0

        def tell(done: int, complete: bool) -> None:
            nonlocal last
            now = time.monotonic()
            if complete:
                self._report(Progress("Download complete", short(blob)))
            elif done >= blob.size:
                self._report(Progress("Verifying Checksum", short(blob)))
            elif now - last >= _REPORT_SECONDS:
                last = now
                self._report(Progress("Downloading", short(blob), done, blob.size))

        path = self._reference.path
        return self._store.transfers.join(
            blob, lambda what, offset: self._client.blob(path, what, offset), tell
        )

    def _keep(self, keys: set[str]) -> None:
        """So that what was verified survives a pull that is killed."""
        self._kept |= keys
        self._registrar.tables.keep(keys, int(time.time()) + _KEPT_SECONDS)

    def _record(self, plan: ImagePlan, found: Found) -> Image:
        """In one step: an image without a name is one that somebody may prune."""
        with self._registrar.tables.transaction():
            image = self._registrar.record(plan)
            self._name(image.id, found)
        self._registrar.write_index()
        return image

    def _record_artifact(self, found: Found) -> None:
        with self._registrar.tables.transaction():
            self._name("", found)
        self._registrar.write_index()

    def _name(self, image_id: str, found: Found) -> None:
        registrar, reference = self._registrar, self._reference
        target = found.target
        encoded = msgspec.json.encode(replace_annotations(target))
        registrar.tables.set_digest(NameRow(reference.repository, target.digest, image_id, encoded))
        if reference.digest is None:
            registrar.name(image_id, reference, target)
