"""Images into the engine's own store: the layers that the build made become the image's as they are."""

from __future__ import annotations

import contextlib

import msgspec

from corten.build.export.archive import standing_for
from corten.build.export.assembly import Assembled, AssembledImage
from corten.build.export.concurrency import in_thread
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.output import ImageOutput
from corten.build.export.protocols import Layers, Status
from corten.content import Lease
from corten.errors import NotFound
from corten.image.store import ImageStore
from corten.image.tables import NameRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, chain_ids
from corten.oci.reference import Reference


class StoreExport:
    """For one build. Blobs are pinned by `lease`."""

    def __init__(self, store: ImageStore, layers: Layers, blobs: LayerBlobs, lease: Lease) -> None:
        self._store = store
        self._registrar = store.registrar
        self._layers = layers
        self._blobs = blobs
        self._lease = lease

    async def export(self, assembled: Assembled, output: ImageOutput, status: Status) -> Digest:
        """The image that the names mean here: that for this host, where there are several. Returns its ID."""
        image = standing_for(assembled.images, self._store.platform)
        for one in assembled.images:
            await self._blobs.bring(one.layers, status)
        await in_thread(lambda: self._add(assembled, image, output))
        status(f"exporting manifest {assembled.target.descriptor.digest}", 1, 1, True)
        status(f"exporting config {image.id}", 1, 1, True)
        for name in output.names:
            status(f"naming to {name.canonical}", 1, 1, True)
        return image.id

    def _add(self, assembled: Assembled, image: AssembledImage, output: ImageOutput) -> None:
        for document in assembled.documents():
            digest = document.descriptor.digest
            self._lease.pin(digest)
            if not self._store.content.contains(digest):
                self._store.content.add(document.data, expected=digest, lease=self._lease)
        chain = chain_ids(image.diff_ids)
        with self._registrar.pin_chain(chain):
            # Layers with other diff IDs than their own (eStargz) are unpacked from their blobs.
            if chain == chain_ids([layer.diff_id for layer in image.layers]):
                self._layers.publish(image.layers)
            plan = self._registrar.plan(image.manifest.descriptor)
            with self._store.snapshotter.session() as session:
                self._registrar.unpack(plan, session, {}, lambda layer, done, total: None)
            # In one step: an image without a name is one that somebody may prune.
            with self._registrar.tables.transaction():
                self._registrar.record(plan)
                self._name(image, assembled.target.descriptor, output)
        self._registrar.write_index()

    def _name(self, image: AssembledImage, target: Descriptor, output: ImageOutput) -> None:
        tables = self._registrar.tables
        encoded = msgspec.json.encode(msgspec.structs.replace(target, annotations=None))
        canonical: list[Reference] = list(output.names) if output.canonical else []
        if output.dangling is not None and not output.names:
            canonical.append(output.dangling)
        for name in output.names:
            self._registrar.name(image.id, name, target)
        for name in canonical:
            tables.set_digest(NameRow(name.repository, target.digest, image.id, encoded))

    def pushed(self, image_id: Digest, name: Reference, target: Descriptor) -> None:
        """A registry has it now under this name."""
        encoded = msgspec.json.encode(msgspec.structs.replace(target, annotations=None))
        with contextlib.suppress(NotFound):  # it has been removed here, and is there nevertheless
            self._registrar.tables.set_digest(NameRow(name.repository, target.digest, image_id, encoded))
