"""What there is to export of a build's cache: the keys of its steps, their layers, and what copies took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from corten.build.cache_transfer.document import (
    VERSION,
    CacheContent,
    CacheDocument,
    CacheLayer,
    CacheRecord,
)
from corten.build.export.assembly import is_empty
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.protocols import Status
from corten.build.graph import BindMount, CacheMount, Copy, Exec, FileOperation, Vertex
from corten.build.plan.model import PlannedImage
from corten.build.solve.keys import content_key
from corten.build.solve.materials import mounted_part
from corten.build.solve.records import RecordLookup
from corten.build.solve.result import BuiltLayer, Results, Solved
from corten.image.compression import Compression
from corten.oci.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class Part:
    """A blob that goes along, and the layer that it belongs to, if any."""

    blob: Descriptor
    layer: BuiltLayer | None = None


class Collection:
    """One build's."""

    def __init__(
        self,
        images: Sequence[PlannedImage],
        results: Results,
        records: RecordLookup,
        blobs: LayerBlobs,
    ) -> None:
        self._images = tuple(images)
        self._results = results
        self._records = records
        self._blobs = blobs

    async def collect(
        self, *, every_layer: bool, compression: Compression, status: Status
    ) -> tuple[CacheDocument, list[Part]]:
        """For a place of its own; layers of base images stay where they are. Without `every_layer`, only
        those of the images."""
        steps = list(self._steps(self._results.items()))
        exported = {layer.id for image in self._images for layer in self._chain(image)}
        chains = {
            vertex: solved.result.layers
            for vertex, solved in steps
            if solved.result is not None
            and (every_layer or all(layer.id in exported for layer in solved.result.layers))
        }
        layers = {layer.id: layer for chain in chains.values() for layer in chain}
        described = await self._described(layers.values(), status)
        moving = [layer for layer in described.values() if layer.made_by and not is_empty(layer)]
        compressed = await self._blobs.compressed(moving, compression, status, oci=True)
        parts = [Part(made.blob, layer) for made, layer in zip(compressed, moving, strict=True)]
        diff_ids = {layer.id: made.diff_id for made, layer in zip(compressed, moving, strict=True)}
        places = {layer.id: position for position, layer in enumerate(moving)}
        numbers = {layer_id: number for number, layer_id in enumerate(described)}
        document = CacheDocument(
            VERSION,
            tuple(
                CacheLayer(diff_ids.get(layer.id, layer.diff_id), layer.made_by, places.get(layer.id))
                for layer in described.values()
            ),
            tuple(_record(solved, chains.get(vertex), described, numbers) for vertex, solved in steps),
            tuple(self._contents(steps)),
        )
        return document, parts

    async def inline(self, image: PlannedImage, status: Status) -> CacheDocument:
        """For the manifest of an image itself, whose layers are all that there are."""
        chain = self._chain(image)
        described = await self._described(chain, status)
        own = [layer for layer in described.values() if not is_empty(layer)]
        numbers = {layer.id: number for number, layer in enumerate(own)}
        below = set() if image.target is None else set(image.target.walk())
        steps = [item for item in self._steps(self._results.items()) if item[0] in below]
        records = []
        for _vertex, solved in steps:
            layers = solved.result.layers if solved.result is not None else None
            if layers is not None and any(layer.id not in described for layer in layers):
                layers = None
            records.append(_record(solved, layers, described, numbers))
        return CacheDocument(
            VERSION,
            tuple(CacheLayer(layer.diff_id, layer.made_by, number) for number, layer in enumerate(own)),
            tuple(records),
            tuple(self._contents(steps)),
        )

    def mount_ids(self) -> list[str]:
        """The cache mounts that the build's steps have."""
        found: dict[str, None] = {}
        for image in self._images:
            for vertex in image.target.walk() if image.target is not None else ():
                if isinstance(vertex.operation, Exec):
                    found |= {m.id: None for m in vertex.operation.mounts if isinstance(m, CacheMount)}
        return list(found)

    def _chain(self, image: PlannedImage) -> tuple[BuiltLayer, ...]:
        return self._results.result(image.target).layers

    async def _described(self, layers: Iterable[BuiltLayer], status: Status) -> dict[str, BuiltLayer]:
        return {layer.id: layer for layer in await self._blobs.described(list(layers), status)}

    def _steps(self, items: Iterable[tuple[Vertex, Solved]]) -> Iterator[tuple[Vertex, Solved]]:
        for vertex, solved in items:
            if isinstance(vertex.operation, FileOperation | Exec) and solved.key and solved.partial:
                yield vertex, solved

    def _contents(self, steps: Iterable[tuple[Vertex, Solved]]) -> Iterator[CacheContent]:
        """The digests of what was taken from file systems: with them, who imports the cache need not have
        those."""
        seen: set[str] = set()
        for vertex, _solved in steps:
            for source, copy in _selections(vertex):
                if source is None or source not in self._results or not self._results[source].key:
                    continue
                key = content_key(self._results[source].key, copy)
                digest = self._records.content(key)
                if digest is not None and key not in seen:
                    seen.add(key)
                    yield CacheContent(key, digest)


def _record(
    solved: Solved,
    chain: Sequence[BuiltLayer] | None,
    described: dict[str, BuiltLayer],
    numbers: dict[str, int],
) -> CacheRecord:
    if chain is None:
        return CacheRecord(solved.key, solved.partial)
    layers = [layer.id for layer in chain if not is_empty(described[layer.id])]
    return CacheRecord(solved.key, solved.partial, tuple(numbers[layer_id] for layer_id in layers))


def _selections(vertex: Vertex) -> Iterator[tuple[Vertex | None, Copy]]:
    operation = vertex.operation
    if isinstance(operation, FileOperation):
        for action in operation.actions:
            if isinstance(action, Copy):
                yield vertex.inputs[action.input], action
    elif isinstance(operation, Exec):
        for mount in operation.mounts:
            if isinstance(mount, BindMount | CacheMount) and mount.input is not None:
                yield vertex.inputs[mount.input], mounted_part(mount)
