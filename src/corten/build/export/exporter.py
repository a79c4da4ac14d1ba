"""All outputs of one build."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from corten.build.export.archive import ImageArchive
from corten.build.export.assembly import Assembled, Assembly
from corten.build.export.image_store import StoreExport
from corten.build.export.layer_blobs import LayerBlobs, fetchable
from corten.build.export.layer_tars import LayerTars
from corten.build.export.output import ArchiveOutput, ImageOutput, Output, TreeOutput
from corten.build.export.protocols import Images, Layers, RegistryAccess, Status
from corten.build.export.tree import TreeArchive
from corten.build.export.upload import Upload
from corten.build.plan.model import PlannedImage
from corten.build.solve.result import Results
from corten.content import Lease
from corten.image.store import ImageStore


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """Bytes for the client: a file at `destination` (absolute, or `-`: its standard output), or (`unpack`) a
    tar that it unpacks into that directory, where with `delete` nothing else stays. Read it once, before
    the results are closed; leaving the iterator early is fine."""

    destination: str
    unpack: bool
    pieces: AsyncIterator[bytes]
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of a build. `image_id` and `digest` (of the manifest or index) are empty where no image was
    made; `names` are canonical. `metadata` is what buildx writes with --metadata-file. It is about the first
    output that is an image, or that is pushed."""

    image_id: str = ""
    digest: str = ""
    names: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    files: tuple[ExportedFile, ...] = ()


class Exporter:
    """For one build; `lease` has pinned its base images, and pins what is made until the build has ended."""

    def __init__(
        self,
        store: ImageStore,
        layers: Layers,
        tars: LayerTars,
        images: Images,
        registry: RegistryAccess,
        lease: Lease,
    ) -> None:
        self._store = store
        self._layers = layers
        self._images = images
        self._registry = registry
        self.blobs = LayerBlobs(store, tars, images, registry, lease)
        self._into_store = StoreExport(store, layers, self.blobs, lease)

    async def export(
        self,
        images: Sequence[PlannedImage],
        results: Results,
        outputs: Sequence[Output],
        status: Status,
        *,
        cache: Sequence[Mapping[str, str]] = (),
    ) -> Exported:
        """Images are in the store and in registries when it returns; `Exported.files` are still to be read.
        `cache`: see Assembly."""
        assembly = Assembly(images, results, self.blobs, cache=cache)
        exported, pushed = Exported(), False
        files: list[ExportedFile] = []
        for output in outputs:
            if isinstance(output, TreeOutput):
                files.append(await self._tree(images, results, output, status))
                continue
            assembled = await assembly.assemble(output.format, status)
            if isinstance(output, ArchiveOutput):
                files.append(await self._archive(assembled, output, status))
            else:
                await self._image(assembled, output, status)
            if not exported.image_id or (_is_pushed(output) and not pushed):
                exported, pushed = _summary(assembled, output), _is_pushed(output)
        return dataclasses.replace(exported, files=tuple(files))

    async def _image(self, assembled: Assembled, output: ImageOutput, status: Status) -> None:
        image_id = await self._into_store.export(assembled, output, status) if output.store else None
        if not output.push:
            return
        target = assembled.target.descriptor
        for repository in dict.fromkeys(name.repository for name in output.names):
            names = [name for name in output.names if name.repository == repository]
            client = await self._registry(names[0], insecure=output.insecure)
            marks = [str(name.tag) for name in names] if not output.push_by_digest else [target.digest]
            upload = Upload(client, names[0].path, self._store.content, self.blobs)
            await upload.send(assembled.layers(), assembled.documents(), marks, status)
            if image_id is not None:
                self._into_store.pushed(image_id, names[0], target)

    async def _archive(self, assembled: Assembled, output: ArchiveOutput, status: Status) -> ExportedFile:
        for image in assembled.images:
            await self.blobs.bring(image.layers, status)
        archive = ImageArchive(self._store.content, assembled, output, self._store.platform)
        return ExportedFile(output.destination, not output.tar, archive.stream())

    async def _tree(
        self, images: Sequence[PlannedImage], results: Results, output: TreeOutput, status: Status
    ) -> ExportedFile:
        trees = [(planned.platform, results.result(planned.target)) for planned in images]
        for _platform, result in trees:
            for chain in fetchable(result.layers):
                await self._images.fetch(chain, status)
        split = len(trees) > 1 if output.split is None else output.split
        archive = TreeArchive(self._layers.view, trees, split=split)
        return ExportedFile(output.destination, output.unpack, archive.stream(), output.delete)


def _is_pushed(output: ImageOutput | ArchiveOutput) -> bool:
    return isinstance(output, ImageOutput) and output.push


def _summary(assembled: Assembled, output: ImageOutput | ArchiveOutput) -> Exported:
    # What is pushed by its digest has no tag there.
    untagged = isinstance(output, ImageOutput) and output.push_by_digest
    names = tuple(name.repository if untagged else name.canonical for name in output.names)
    target = assembled.target.descriptor
    metadata: dict[str, Any] = {
        "containerimage.descriptor": msgspec.to_builtins(target),
        "containerimage.digest": target.digest,
    }
    if assembled.index is None:
        metadata["containerimage.config.digest"] = assembled.images[0].id
    if names:
        metadata["image.name"] = ",".join(names)
    return Exported(assembled.images[0].id, target.digest, names, metadata)
