"""Descriptors: a blob's media type, digest and size (OCI image-spec, descriptor.md)."""

from __future__ import annotations

import msgspec

from corten.oci.digest import Digest
from corten.oci.platform import Platform


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What points to a blob. `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    urls: tuple[str, ...] | None = None
    artifact_type: str | None = None
    data: str | None = None
