"""Images as archives: an OCI image layout as a tar, which with `docker` is a docker-archive as well (what
Docker 25 and later write), or as the files of a directory that may hold other images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from corten.build.export.annotation import merged
from corten.build.export.assembly import Assembled, AssembledImage
from corten.build.export.byte_stream import Write, stream_of
from corten.build.export.layout_index import other_entries
from corten.build.export.output import ArchiveOutput
from corten.content import ContentStore
from corten.image.archive_writer import write_blob
from corten.image.copy.layout import LAYOUT, blob_name
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of
from corten.oci.manifest import CONTAINERD_NAME, OCI_INDEX, REF_NAME, Index, encode
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference
from corten.snapshot.tar_writer import TarWriter


class _DockerImage(msgspec.Struct, rename="pascal"):
    """An element of a docker-archive's manifest.json."""

    config: str
    repo_tags: list[str] | None
    layers: list[str]


class ImageArchive:
    """One archive; its layers' blobs are in the store, and stay there while it is read. `platform` is the
    one whose image stands for several in a docker-archive."""

    def __init__(
        self, content: ContentStore, assembled: Assembled, output: ArchiveOutput, platform: Platform
    ) -> None:
        self._content = content
        self._assembled = assembled
        self._output = output
        self._platform = platform

    def stream(self) -> AsyncIterator[bytes]:
        """The tar. The same images give the same bytes."""
        return stream_of(self._write)

    def _write(self, write: Write) -> None:
        tar = TarWriter(write)
        documents = self._assembled.documents()
        layers = [blob for blob, _layer in self._assembled.layers().values()]
        algorithms = {algorithm_of(blob.digest) for blob in layers} | {"sha256"}
        for name in ("blobs", *(f"blobs/{algorithm}" for algorithm in sorted(algorithms))):
            tar.directory(name.encode())
        for blob in layers:
            write_blob(tar, self._content, blob)
        for document in documents:
            tar.file(blob_name(document.descriptor.digest).encode(), document.data)
        tar.file(b"index.json", encode(self._index()))
        if self._output.docker:
            tar.file(b"manifest.json", msgspec.json.encode([self._docker()]))
        tar.file(b"oci-layout", LAYOUT)
        tar.finish()

    def _index(self) -> Index:
        entries = named_entries(self._entry(), self._output.names)
        if not self._output.tar:
            entries = [*other_entries(Path(self._output.destination), entries), *entries]
        return Index(manifests=tuple(entries), schema_version=2, media_type=OCI_INDEX)

    def _entry(self) -> Descriptor:
        target = self._assembled.target.descriptor
        if self._assembled.index is not None:
            return target
        return msgspec.structs.replace(target, platform=self._assembled.images[0].platform)

    def _docker(self) -> _DockerImage:
        image = standing_for(self._assembled.images, self._platform)
        return _DockerImage(
            config=blob_name(image.id),
            repo_tags=[name.familiar for name in self._output.names] or None,
            layers=[blob_name(blob.digest) for blob in image.blobs],
        )


def standing_for(images: Sequence[AssembledImage], platform: Platform) -> AssembledImage:
    """The image that runs on `platform`, or else the first."""
    return images[choose([image.platform for image in images], platform) or 0]


def named_entries(entry: Descriptor, names: Sequence[Reference]) -> list[Descriptor]:
    """The entries of an index.json: one for each name."""
    if not names:
        return [entry]
    return [
        msgspec.structs.replace(
            entry,
            annotations=merged(
                entry.annotations, {CONTAINERD_NAME: name.canonical, REF_NAME: name.tag or "latest"}
            ),
        )
        for name in names
    ]
