"""Saving images: a tar that is a docker-archive and an OCI layout at once (as Docker 25 and later write
it), or only the latter. Blobs shared by several images are written once; the same images give the same
bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Protocol

import msgspec

from corten.content import ContentStore
from corten.errors import IntegrityError, InvalidArgument
from corten.image.model import Image
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, hex_of
from corten.oci.manifest import (
    CONTAINERD_NAME,
    OCI_INDEX,
    REF_NAME,
    Index,
    decode_manifest,
)
from corten.oci.reference import Reference
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter

FORMATS = ("docker-archive", "oci-archive")
_PIECE = 1 << 20


class ByteSink(Protocol):
    """What archives are written to."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class _DockerImage(msgspec.Struct, rename="pascal"):
    config: str
    repo_tags: list[str] | None
    layers: list[str]


class ArchiveWriter:
    """Writes one archive. `images` are pairs of an image and the names it is to have in there."""

    def __init__(self, content: ContentStore, stream: ByteSink, format: str) -> None:
        if format not in FORMATS:
            raise InvalidArgument(f"unknown archive format {format!r}: expected {' or '.join(FORMATS)}")
        self._content = content
        self._format = format
        self._tar = TarWriter(lambda data: _write_all(stream, data))
        self._written: set[str] = set()

    def save(self, images: Sequence[tuple[Image, Sequence[Reference]]]) -> None:
        """The whole archive."""
        for image, _names in images:
            self._check(image)
        for directory in (b"blobs/", b"blobs/sha256/"):
            self._tar.directory(directory)
        docker: list[_DockerImage] = []
        entries: list[Descriptor] = []
        for image, names in images:
            manifest = decode_manifest(self._content.read(image.manifest.digest))
            for part in (image.manifest, manifest.config, *manifest.layers):
                self._blob(part)
            docker.append(
                _DockerImage(
                    config=_blob_name(manifest.config.digest),
                    repo_tags=[name.familiar for name in names] or None,
                    layers=[_blob_name(layer.digest) for layer in manifest.layers],
                )
            )
            entries += self._entries(image, names)
        index = Index(schema_version=2, media_type=OCI_INDEX, manifests=tuple(entries))
        self._tar.file(b"index.json", msgspec.json.encode(index))
        if self._format == "docker-archive":
            self._tar.file(b"manifest.json", msgspec.json.encode(docker))
        self._tar.file(b"oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self._tar.finish()

    def _check(self, image: Image) -> None:
        """What can be seen to be wrong before anything is written: a blob is gone, or has another size."""
        manifest = decode_manifest(self._content.read(image.manifest.digest))
        for part in (manifest.config, *manifest.layers):
            size = self._content.info(part.digest).size
            if size != part.size:
                raise IntegrityError(
                    f"blob {part.digest} is damaged on disk: it has {size} bytes instead of {part.size}; "
                    "load or pull the image again"
                )

    def _entries(self, image: Image, names: Sequence[Reference]) -> list[Descriptor]:
        base = msgspec.structs.replace(image.manifest, platform=image.config.platform.normalized())
        if not names:
            return [base]
        both = self._format == "docker-archive"
        return [
            msgspec.structs.replace(
                base,
                annotations={
                    CONTAINERD_NAME: name.canonical,
                    REF_NAME: (name.tag or "") if both else name.familiar,
                },
            )
            for name in names
        ]

    def _blob(self, descriptor: Descriptor) -> None:
        if descriptor.digest not in self._written:
            self._written.add(descriptor.digest)
            write_blob(self._tar, self._content, descriptor)


def write_blob(tar: TarWriter, content: ContentStore, descriptor: Descriptor) -> None:
    """A blob of the store as a member of an image layout. IntegrityError when it is damaged."""
    fd = content.open(descriptor.digest)
    try:
        entry = Entry(_blob_name(descriptor.digest).encode())
        size = entry.size = entry.real_size = os.fstat(fd).st_size
        tar.add(entry)
        found = hashlib.new(algorithm_of(descriptor.digest))
        while piece := os.read(fd, _PIECE):
            found.update(piece)
            tar.data(piece)
        tar.pad(size)
    finally:
        os.close(fd)
    if found.hexdigest() != hex_of(descriptor.digest):
        raise IntegrityError(
            f"blob {descriptor.digest} is damaged on disk: its content has another digest; load, pull or "
            "build the image again"
        )


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _write_all(stream: ByteSink, data: bytes | memoryview) -> None:
    """Raw files may take less than they are given."""
    view = memoryview(data)
    while view:
        written = stream.write(view)
        view = view[written if isinstance(written, int) else len(view) :]
