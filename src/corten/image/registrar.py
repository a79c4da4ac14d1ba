"""Making an image of blobs that are there: verify, unpack, then one row. What loads, imports and commits
end in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from corten.content import ContentStore, Lease
from corten.errors import IntegrityError, NotFound
from corten.image.model import Image, Progress, Report, silent
from corten.image.settling import Settler
from corten.image.tables import ImageRow, NameRow, Tables
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, chain_ids, hex_of
from corten.oci.image_config import ImageConfig, decode_config, encode_config, parse_time
from corten.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    REF_NAME,
    Index,
    Manifest,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.reference import Reference
from corten.snapshot import Layer, Snapshotter
from corten.snapshot.growing import Growing
from corten.snapshot.snapshotter import Session
from corten.snapshot.tree import remove_tree


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """An image to be made: its manifest, its config (`data` as JSON), and the chain IDs of its layers."""

    manifest: Descriptor
    document: Manifest
    data: bytes
    config: ImageConfig
    chain: tuple[str, ...]


class Registrar:
    """Owns the tables, blobs and snapshots of the images, and what keeps garbage collection off work in
    progress."""

    def __init__(self, tables: Tables, content: ContentStore, snapshotter: Snapshotter) -> None:
        self.tables = tables
        self.content = content
        self.snapshotter = snapshotter
        self.settler = Settler(snapshotter)
        self.lock = threading.RLock()
        self.row_lock = threading.RLock()
        """Held for moments only: while an image that nobody uses loses its row, and while a container takes
        one. Inside of `lock`, where both are needed."""
        self.keepers: list[Callable[[], set[str]]] = []
        """Each tells of chain IDs and digests that somebody else needs: the build cache."""
        self._chain_pins: Counter[str] = Counter()
        self._decoded: dict[tuple[str, bytes], tuple[ImageConfig, tuple[Descriptor, ...], Descriptor]] = {}

    # -- reading

    def image(self, row: ImageRow) -> Image:
        """A row as an Image, with its names."""
        # The same image may come again with its layers in another compression.
        key = (row.id, row.manifest)
        decoded = self._decoded.get(key)
        if decoded is None:
            decoded = (
                decode_config(row.config),
                msgspec.json.decode(row.layers, type=tuple[Descriptor, ...]),
                msgspec.json.decode(row.manifest, type=Descriptor),
            )
            if len(self._decoded) > 1000:
                self._decoded.clear()
            self._decoded[key] = decoded
        config, layers, manifest = decoded
        history = config.history or ()
        return Image(
            id=row.id,
            config=config,
            chain=tuple(row.chain.split()),
            layers=layers,
            manifest=manifest,
            size=row.size,
            created=row.created,
            repo_tags=tuple(_familiar(name, ":") for name in self.tables.tags_of(row.id)),
            repo_digests=tuple(_familiar(name, "@") for name in self.tables.digests_of(row.id)),
            parent=row.parent,
            comment=(history[-1].comment or "") if history else "",
            last_tagged=row.last_tagged,
        )

    def layers(self, image: Image) -> list[Layer]:
        """The image's layers, as the snapshotter wants them."""
        return [
            Layer(chain_id, diff_id, str(self.content.path(layer.digest)), layer.digest)
            for chain_id, diff_id, layer in zip(image.chain, image.config.diff_ids, image.layers, strict=True)
        ]

    # -- making

    def add_document(
        self, document: Manifest | Index | ImageConfig, media_type: str, lease: Lease
    ) -> Descriptor:
        """Stores a JSON document as a blob."""
        data = encode_config(document) if isinstance(document, ImageConfig) else encode(document)
        blob = self.content.add(data, lease=lease)
        return Descriptor(media_type, blob.digest, blob.size)

    def add_manifest(self, config: Descriptor, layers: Sequence[Descriptor], lease: Lease) -> Descriptor:
        """Stores an OCI manifest over blobs that are there."""
        manifest = Manifest(config=config, layers=tuple(layers), schema_version=2, media_type=OCI_MANIFEST)
        return self.add_document(manifest, OCI_MANIFEST, lease)

    def add_config(self, config: ImageConfig, lease: Lease) -> Descriptor:
        """Stores an image config."""
        return self.add_document(config, OCI_CONFIG, lease)

    def register(
        self,
        manifest: Descriptor,
        session: Session,
        *,
        parent: str = "",
        report: Report = silent,
    ) -> Image:
        """Unpacks the image whose manifest, config and layer blobs are in the store (pinned by the caller's
        lease) and adds its row. IntegrityError when the config does not fit the layers."""
        with self.unpacked(manifest, session, report) as plan:
            return self.record(plan, parent=parent)

    @contextlib.contextmanager
    def unpacked(self, manifest: Descriptor, session: Session, report: Report) -> Iterator[ImagePlan]:
        """As `register`, but for the row: until the end of this context the layers stay without it. Who has
        a name for the image adds both in one transaction: nobody can remove it in between."""
        plan = self.plan(manifest)

        def unpacking(layer: Descriptor, done: int, total: int) -> None:
            if total:
                report(Progress("Unpacking", hex_of(layer.digest)[:12], done, total))

        with self.pin_chain(plan.chain):
            self.unpack(plan, session, {}, unpacking)
            yield plan

    def plan(self, manifest: Descriptor) -> ImagePlan:
        """What a manifest in the store says, checked for consistency. IntegrityError."""
        document = decode_manifest(self.content.read(manifest.digest))
        data = self.content.read(document.config.digest, limit=MAX_CONFIG_BYTES)
        config = decode_config(data)
        diff_ids = config.diff_ids
        if len(diff_ids) != len(document.layers):
            raise IntegrityError(
                f"image {document.config.digest} is inconsistent: its config names {len(diff_ids)} layers, "
                f"its manifest {len(document.layers)}"
            )
        if algorithm_of(document.config.digest) != "sha256":
            raise IntegrityError(f"image config {document.config.digest} is not named by a sha256 digest")
        return ImagePlan(manifest, document, data, config, chain_ids(diff_ids))

    def unpack(
        self,
        plan: ImagePlan,
        session: Session,
        growing: Mapping[str, Growing],
        progress: Callable[[Descriptor, int, int], None],
    ) -> None:
        """Makes the image's layers mountable, from blobs in the store or those that are still `growing` (by
        digest). `progress` is told of a layer's bytes, and (0, 0) when it is in place. The caller pins the
        chain."""
        named: dict[str, Descriptor] = {}
        layers = []
        for chain_id, diff_id, layer in zip(
            plan.chain, plan.config.diff_ids, plan.document.layers, strict=True
        ):
            blob = str(self.content.path(layer.digest))
            layers.append(Layer(chain_id, diff_id, blob, layer.digest, growing=growing.get(layer.digest)))
            named[chain_id] = layer
        session.prepare(layers, lambda name, done, total: progress(named[name], done, total))

    def record(self, plan: ImagePlan, *, parent: str = "") -> Image:
        """Adds the row of an image whose blobs and layers are all there."""
        size = sum(self.snapshotter.usage(chain_id).size for chain_id in plan.chain)
        row = ImageRow(
            id=plan.document.config.digest,
            manifest=msgspec.json.encode(plan.manifest),
            layers=msgspec.json.encode(plan.document.layers),
            config=plan.data,
            chain=" ".join(plan.chain),
            size=size,
            created=parse_time(plan.config.created),
            parent=parent,
        )
        self.tables.add_image(row)
        stored = self.tables.image(row.id)
        self.settler.soon()
        assert stored is not None
        return self.image(stored)

    def name(self, image_id: str, reference: Reference, target: Descriptor) -> None:
        """Gives an image a tag."""
        encoded = msgspec.json.encode(replace_annotations(target))
        self.tables.set_tag(
            NameRow(reference.repository, reference.tag or "latest", image_id, encoded), time.time_ns()
        )

    @contextlib.contextmanager
    def pin_chain(self, chain: Sequence[str]) -> Iterator[None]:
        """Keeps snapshots of this chain from being collected."""
        with self.lock:
            self._chain_pins.update(chain)
        try:
            yield
        finally:
            with self.lock:
                self._chain_pins.subtract(chain)

    # -- garbage

    def collect(self) -> tuple[int, list[str]]:
        """Removes what no image row and no work in progress needs: (bytes of blobs and layers freed, chain
        IDs)."""
        removed: dict[str, Path] = {}
        freed = 0
        with self.lock:
            for chain_id in self.unneeded_layers():
                with contextlib.suppress(NotFound):
                    freed += self.snapshotter.usage(chain_id).size
                removed[chain_id] = self.snapshotter.set_aside(chain_id)
        for path in removed.values():  # whoever wants the lock need not wait for the disk
            remove_tree(str(path))
        _, blob_bytes = self.content.collect(self.reachable)
        for variant in self.tables.variants():
            if not self.content.contains(variant.source):
                self.tables.delete_variants(variant.source)
        return freed + blob_bytes, list(removed)

    def unneeded_layers(self) -> list[str]:
        """The chain IDs of layers that neither an image nor work in progress needs. They stay so only while
        `lock` is held."""
        with self.lock:
            # First what is there: a layer that comes later belongs to somebody.
            there = list(self.snapshotter.walk())
            keep = {chain_id for row in self.tables.images() for chain_id in row.chain.split()}
            keep |= self.tables.kept(int(time.time()))
            keep |= self.kept_by_others()
            return [
                chain_id for chain_id in there if chain_id not in keep and self._chain_pins[chain_id] <= 0
            ]

    def kept_by_others(self) -> set[str]:
        """Chain IDs, and digests of blobs, that the build cache needs."""
        return set().union(*(keeper() for keeper in self.keepers))

    def reachable(self) -> set[str]:
        """The digests of all blobs that an image or a name needs."""
        seen: set[str] = set()
        pending = [msgspec.json.decode(row.manifest, type=Descriptor) for row in self.tables.images()]
        for name in (*self.tables.tags(), *self.tables.digests()):
            pending.append(msgspec.json.decode(name.target, type=Descriptor))
        while pending:
            descriptor = pending.pop()
            if descriptor.digest in seen or not self.content.contains(descriptor.digest):
                continue
            seen.add(descriptor.digest)
            try:
                if descriptor.media_type in MANIFEST_TYPES:
                    manifest = decode_manifest(self.content.read(descriptor.digest))
                    pending += (manifest.config, *manifest.layers)
                elif descriptor.media_type in INDEX_TYPES:
                    pending += decode_index(self.content.read(descriptor.digest)).manifests
            except IntegrityError:
                continue  # a damaged document keeps nothing alive but itself
        seen |= self.tables.kept(int(time.time())) | self.kept_by_others()
        seen.update(variant.target for variant in self.tables.variants() if variant.source in seen)
        return seen

    def write_index(self) -> None:
        """Brings index.json up to date with the tags, for skopeo and umoci."""
        with self.lock:
            self.content.write_index(self.index())

    def index(self) -> Index:
        """What index.json says when it is up to date."""
        entries = []
        for name in self.tables.tags():
            target = msgspec.json.decode(name.target, type=Descriptor)
            entries.append(msgspec.structs.replace(target, annotations={REF_NAME: _familiar(name, ":")}))
        return Index(schema_version=2, media_type=OCI_INDEX, manifests=tuple(entries))


def replace_annotations(descriptor: Descriptor) -> Descriptor:
    """A descriptor as it is kept for a name: without what another index said about it."""
    return msgspec.structs.replace(descriptor, annotations=None)


def _familiar(name: NameRow, separator: str) -> str:
    reference = Reference.parse(name.repository, default_tag=False)
    return f"{reference.familiar_name}{separator}{name.mark}"
