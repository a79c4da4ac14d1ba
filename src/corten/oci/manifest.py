"""Manifests and indexes, in OCI's and in Docker's media types (OCI image-spec, manifest.md,
image-index.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.errors import IntegrityError
from corten.oci.descriptor import Descriptor

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

DOCKER_TO_OCI = {
    DOCKER_MANIFEST: OCI_MANIFEST,
    DOCKER_INDEX: OCI_INDEX,
    DOCKER_CONFIG: OCI_CONFIG,
    DOCKER_LAYER: OCI_LAYER,
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    DOCKER_LAYER_ZSTD: OCI_LAYER_ZSTD,
}
"""Media types that mean the same."""

MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

MAX_MANIFEST_BYTES = 4 << 20
"""What registries accept as a manifest or an index at most."""

MAX_CONFIG_BYTES = 8 << 20
"""What an image's config may have at most."""


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image: a config and its layers, bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    schema_version: int = msgspec.field(default=0)
    media_type: str = ""
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A list of manifests: the platforms of one image, or what an image layout holds."""

    manifests: tuple[Descriptor, ...] = msgspec.field(default=())
    schema_version: int = msgspec.field(default=0)
    media_type: str = ""
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


def decode_manifest(data: bytes) -> Manifest:
    """A manifest's blob; raises IntegrityError when it is none."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"invalid image manifest: {error}") from error
    if manifest.schema_version != 2:
        raise IntegrityError(
            f"unsupported image manifest: schema version {manifest.schema_version}, expected 2"
        )
    return manifest


def decode_index(data: bytes) -> Index:
    """An index' blob; raises IntegrityError when it is none."""
    try:
        return msgspec.json.decode(data, type=Index)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"invalid image index: {error}") from error


def encode(document: Manifest | Index) -> bytes:
    """The canonical JSON of a manifest or index (what its digest is taken of)."""
    return msgspec.json.encode(document)


class _Probe(msgspec.Struct, rename="camel"):
    media_type: str = ""
    manifests: list[Any] | None = None
    layers: list[Any] | None = None


def media_type_of(data: bytes) -> str:
    """The media type of a manifest or index, by its mediaType field or, lacking that, by its shape."""
    try:
        probe = msgspec.json.decode(data, type=_Probe)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"invalid manifest: {error}") from error
    if probe.media_type:
        return probe.media_type
    return OCI_INDEX if probe.manifests is not None else OCI_MANIFEST
