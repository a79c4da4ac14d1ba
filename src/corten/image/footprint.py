"""What images take on disk, and what would be free without some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from corten.content.allocation import allocated
from corten.errors import IntegrityError, NotFound
from corten.image.registrar import Registrar
from corten.image.tables import ImageRow
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, decode_index, decode_manifest
from corten.snapshot.overlay import OverlaySnapshotter


@dataclass(frozen=True, slots=True)
class Footprint:
    """`total` is what du(1) says of blobs and layers together. `parts` are the blobs and layers of each image
    by its ID, `sizes` what each of them takes."""

    total: int
    parts: dict[str, frozenset[str]]
    sizes: dict[str, int]

    def freed_without(self, images: Iterable[str]) -> int:
        """Bytes that removing these images frees: what no other image has."""
        uses = Counter(part for parts in self.parts.values() for part in parts)
        gone: Counter[str] = Counter()
        for image in images:
            gone.update(self.parts.get(image, ()))
        return sum(self.sizes.get(part, 0) for part, count in gone.items() if count == uses[part])


def measure(registrar: Registrar) -> Footprint:
    """Walks through blobs and layers: takes as long as du(1)."""
    content, snapshotter = registrar.content, registrar.snapshotter
    parts = {row.id: _parts(registrar, row) for row in registrar.tables.images()}
    for number, keeper in enumerate(registrar.keepers):
        kept = keeper()  # what goes with no image
        parts[f"keeper {number}"] = frozenset((*kept, *(f"layer {name}" for name in kept)))
    seen: set[tuple[int, int]] = set()
    sizes: dict[str, int] = {}
    for blob in content.walk():
        sizes[blob.digest] = allocated([content.path(blob.digest)], seen)
    places = [content.root]
    if isinstance(snapshotter, OverlaySnapshotter):
        for chain_id in snapshotter.walk():
            # The chain ID of a lowest layer is its diff ID, which is the digest of a plain blob.
            layer = f"layer {chain_id}"
            sizes[layer] = allocated([snapshotter.directory(chain_id)], seen)
        places.append(snapshotter.root)
    return Footprint(allocated(places), parts, sizes)


def _parts(registrar: Registrar, row: ImageRow) -> frozenset[str]:
    parts = {row.id, *(f"layer {chain_id}" for chain_id in row.chain.split())}
    pending = [msgspec.json.decode(row.manifest, type=Descriptor)]
    for name in (*registrar.tables.tags_of(row.id), *registrar.tables.digests_of(row.id)):
        pending.append(msgspec.json.decode(name.target, type=Descriptor))
    while pending:
        item = pending.pop()
        if item.digest in parts:
            continue
        parts.add(item.digest)
        try:
            if item.media_type in MANIFEST_TYPES:
                document = decode_manifest(registrar.content.read(item.digest))
                parts.update(blob.digest for blob in (document.config, *document.layers))
            elif item.media_type in INDEX_TYPES:
                pending += decode_index(registrar.content.read(item.digest)).manifests
        except (IntegrityError, NotFound):
            continue
    return frozenset(parts)
