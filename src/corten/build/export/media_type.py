"""Media types of manifests, configs and layers: OCI's, or Docker's."""

from __future__ import annotations

import msgspec

from corten.image.estargz.toc import is_estargz
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCKER_TO_OCI,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)

_OCI_TO_DOCKER = {oci: docker for docker, oci in DOCKER_TO_OCI.items()}
_COMPRESSION = {
    OCI_LAYER: "uncompressed",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
}


def manifest_type(*, oci: bool) -> str:
    """Of an image's manifest."""
    return OCI_MANIFEST if oci else DOCKER_MANIFEST


def config_type(*, oci: bool) -> str:
    """Of an image's config."""
    return OCI_CONFIG if oci else DOCKER_CONFIG


def index_type(*, oci: bool) -> str:
    """Of a list of manifests."""
    return OCI_INDEX if oci else DOCKER_INDEX


def layer_of(layer: Descriptor, *, oci: bool) -> Descriptor:
    """A layer as a manifest of that kind names it: the same blob. Docker's knows no annotations."""
    table = DOCKER_TO_OCI if oci else _OCI_TO_DOCKER
    kind = table.get(layer.media_type, layer.media_type)
    annotations = layer.annotations if oci else None
    return msgspec.structs.replace(layer, media_type=kind, annotations=annotations, platform=None)


def compression_of(layer: Descriptor) -> str:
    """`uncompressed`, `gzip`, `estargz` or `zstd`; empty for what is something else."""
    kind = _COMPRESSION.get(DOCKER_TO_OCI.get(layer.media_type, layer.media_type), "")
    return "estargz" if kind == "gzip" and is_estargz(layer.annotations) else kind
