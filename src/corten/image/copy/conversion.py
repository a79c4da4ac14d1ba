"""Between Docker's and OCI's media types: the blobs stay what they are, the manifest gets another digest."""

from __future__ import annotations

import msgspec

from corten.oci.descriptor import Descriptor
from corten.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Index,
    Manifest,
)

_TO_OCI = {
    DOCKER_MANIFEST: OCI_MANIFEST,
    DOCKER_INDEX: OCI_INDEX,
    DOCKER_CONFIG: OCI_CONFIG,
    DOCKER_LAYER: OCI_LAYER,
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    DOCKER_LAYER_ZSTD: OCI_LAYER_ZSTD,
}


def is_foreign(layer: Descriptor) -> bool:
    """Whether a layer lies elsewhere (Windows' base layers) and is never copied."""
    kind = layer.media_type
    return bool(layer.urls) and ("foreign" in kind or "nondistributable" in kind)


def oci_manifest(manifest: Manifest) -> Manifest:
    """The same image with OCI's media types."""
    return msgspec.structs.replace(
        manifest,
        media_type=OCI_MANIFEST,
        config=_oci(manifest.config),
        layers=tuple(_oci(layer) for layer in manifest.layers),
    )


def oci_index(index: Index) -> Index:
    """The same index as OCI's; its children have been converted."""
    return msgspec.structs.replace(index, media_type=OCI_INDEX)


def _oci(descriptor: Descriptor) -> Descriptor:
    kind = _TO_OCI.get(descriptor.media_type, descriptor.media_type)
    return msgspec.structs.replace(descriptor, media_type=kind)
