"""Between Docker's and OCI's media types: the blobs stay what they are, the manifest gets another digest."""

from __future__ import annotations

import msgspec

from corten.oci.descriptor import Descriptor
from corten.oci.manifest import DOCKER_TO_OCI, OCI_INDEX, OCI_MANIFEST, Index, Manifest


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
    kind = DOCKER_TO_OCI.get(descriptor.media_type, descriptor.media_type)
    return msgspec.structs.replace(descriptor, media_type=kind)
