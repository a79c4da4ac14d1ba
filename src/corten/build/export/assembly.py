"""From what a build planned and found to the documents of an image: config, manifest, index."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from corten.build.export.annotation import (
    INDEX,
    INDEX_DESCRIPTOR,
    MANIFEST,
    MANIFEST_DESCRIPTOR,
    merged,
    select,
)
from corten.build.export.layer_blobs import LayerBlobs
from corten.build.export.media_type import config_type, index_type, manifest_type
from corten.build.export.output import ImageFormat
from corten.build.export.protocols import Status
from corten.build.plan.model import PlannedImage
from corten.build.solve.result import BuiltLayer, Results
from corten.errors import InvalidArgument
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, sha256_of
from corten.oci.image_config import History, ImageConfig, RootFS, encode_config, format_time
from corten.oci.manifest import Index, Manifest, encode
from corten.oci.platform import Platform

EMPTY_TAR = Digest("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""The digest of 1024 zeros: a layer without a file."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document and what points to it."""

    descriptor: Descriptor
    data: bytes


@dataclass(frozen=True, slots=True)
class AssembledImage:
    """One platform's image. `layers` (bottom first) go along with the blobs that the manifest names, and with
    the diff IDs of the config: those of the layers themselves, unless their blobs are eStargz."""

    platform: Platform
    config: Document
    manifest: Document
    layers: tuple[BuiltLayer, ...]
    blobs: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]

    @property
    def id(self) -> Digest:
        """The image's ID."""
        return self.config.descriptor.digest


@dataclass(frozen=True, slots=True)
class Assembled:
    """What an output exports: one image, or (`index`) those of several platforms."""

    images: tuple[AssembledImage, ...]
    index: Document | None

    @property
    def target(self) -> Document:
        """What a name of it points to."""
        return self.index if self.index is not None else self.images[0].manifest

    def documents(self) -> tuple[Document, ...]:
        """Each once, what is named before what names it."""
        documents = {
            document.descriptor.digest: document
            for image in self.images
            for document in (image.config, image.manifest)
        }
        if self.index is not None:
            documents[self.index.descriptor.digest] = self.index
        return tuple(documents.values())

    def layers(self) -> dict[Digest, tuple[Descriptor, BuiltLayer]]:
        """The layers' blobs by digest, each with the layer that it belongs to."""
        return {
            blob.digest: (blob, layer)
            for image in self.images
            for blob, layer in zip(image.blobs, image.layers, strict=True)
        }


class Assembly:
    """One build's images: `assemble` makes them for one format after the other. `cache` are annotations with
    which an image brings its build cache along, by the position of the image."""

    def __init__(
        self,
        images: Sequence[PlannedImage],
        results: Results,
        blobs: LayerBlobs,
        *,
        cache: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self._images = tuple(images)
        self._results = results
        self._blobs = blobs
        self._cache = tuple(cache) or ({},) * len(self._images)
        self._now = time.time_ns()

    async def assemble(self, format: ImageFormat, status: Status) -> Assembled:
        """InvalidArgument for annotations of an index that there is not."""
        if len(self._images) == 1:
            for where in (INDEX, INDEX_DESCRIPTOR):
                if select(format.annotations, where):
                    raise InvalidArgument(
                        f"an annotation of type {where} needs an index: an image for one platform has none"
                    )
        oci = format.oci or any(self._cache)
        made = [
            await self._image(planned, cache, format, status, oci)
            for planned, cache in zip(self._images, self._cache, strict=True)
        ]
        if len(made) == 1:
            return Assembled(tuple(made), None)
        entries = tuple(
            msgspec.structs.replace(image.manifest.descriptor, platform=image.platform) for image in made
        )
        index = Index(
            manifests=entries,
            schema_version=2,
            media_type=index_type(oci=oci),
            annotations=select(format.annotations, INDEX),
        )
        notes = select(format.annotations, INDEX_DESCRIPTOR)
        return Assembled(tuple(made), _document(encode(index), index.media_type, notes))

    async def _image(
        self,
        planned: PlannedImage,
        cache: Mapping[str, str],
        format: ImageFormat,
        status: Status,
        oci: bool,
    ) -> AssembledImage:
        chain = await self._blobs.described(self._results.result(planned.target).layers, status)
        layers = [layer for layer in chain if not is_empty(layer)]
        compressed = await self._blobs.compressed(layers, format.compression, status, oci=oci)
        blobs = tuple(one.blob for one in compressed)
        diff_ids = tuple(one.diff_id for one in compressed)
        config = _document(encode_config(self._config(planned, chain, diff_ids)), config_type(oci=oci))
        manifest = Manifest(
            config=config.descriptor,
            layers=blobs,
            schema_version=2,
            media_type=manifest_type(oci=oci),
            annotations=merged(select(format.annotations, MANIFEST, planned.platform), cache),
        )
        notes = select(format.annotations, MANIFEST_DESCRIPTOR, planned.platform)
        document = _document(encode(manifest), manifest.media_type, notes)
        return AssembledImage(planned.platform, config, document, tuple(layers), blobs, diff_ids)

    def _config(
        self, planned: PlannedImage, chain: Sequence[BuiltLayer], diff_ids: tuple[str, ...]
    ) -> ImageConfig:
        """The planned config, with the layers that there are. A step that changed nothing has none."""
        described = {layer.id: layer for layer in chain}
        now = format_time(self._now if planned.epoch is None else planned.epoch * 1_000_000_000)
        base = len(planned.base.config.history or ()) if planned.base is not None else 0
        history: list[History] = []
        entries = planned.config.history or ()
        for position, (entry, vertex) in enumerate(zip(entries, planned.layers, strict=True)):
            if vertex is not None:
                assert planned.target is not None
                layer = self._results.layer(planned.target, vertex)
                if layer is None or is_empty(described[layer.id]):
                    entry = msgspec.structs.replace(entry, empty_layer=True)
            if entry.created is None and position >= base:
                entry = msgspec.structs.replace(entry, created=now)
            history.append(entry)
        return msgspec.structs.replace(
            planned.config,
            created=planned.config.created or now,
            rootfs=RootFS(diff_ids=diff_ids),
            history=tuple(history),
        )


def is_empty(layer: BuiltLayer) -> bool:
    """Whether a layer is left out of an image: one that was made here without a file in it."""
    return layer.is_made_here and layer.diff_id == EMPTY_TAR


def _document(data: bytes, media_type: str, annotations: dict[str, str] | None = None) -> Document:
    return Document(Descriptor(media_type, sha256_of(data), len(data), annotations), data)
