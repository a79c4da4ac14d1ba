"""What an image's name stands for: one manifest, or an index with one for every platform."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from corten.api.image import ManifestImageData, ManifestSize, ManifestSummary, UnpackedSize
from corten.errors import CortenError, IntegrityError, NotFound
from corten.image.model import Image
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.image_config import decode_config
from corten.oci.manifest import INDEX_TYPES, Manifest, decode_index, decode_manifest
from corten.oci.platform import Platform
from corten.oci.reference import Reference

_ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Described:
    """`target` is what the name points to."""

    target: Descriptor
    manifests: tuple[ManifestSummary, ...]


def describe(store: ImageStore, image: Image, name: str = "") -> Described:
    """The manifests below `name`, or below the image's first name. Reads blobs: call it in a thread."""
    target = _target(store, image, name)
    children = [target]
    if target.media_type in INDEX_TYPES:
        children = list(decode_index(store.content.read(target.digest)).manifests)
    users = [user.id for user in store.users.of_image(image.id)]
    return Described(target, tuple(_summary(store, child, image, users) for child in children))


def _target(store: ImageStore, image: Image, name: str) -> Descriptor:
    """A tag's target; the image's own manifest for what has no name."""
    for text in (name, *image.repo_tags):
        try:
            reference = Reference.parse(text)
        except CortenError:
            continue
        row = store.registrar.tables.tag(reference.repository, reference.tag or "")
        if row is not None and row.image == image.id:
            return msgspec.json.decode(row.target, type=Descriptor)
    return image.manifest


def _summary(store: ImageStore, child: Descriptor, image: Image, users: list[str]) -> ManifestSummary:
    result = ManifestSummary(id=child.digest, descriptor=child)
    result.kind = "attestation" if _ATTESTATION in (child.annotations or {}) else "image"
    document = _manifest(store, child)
    platform = child.platform or Platform("unknown", "unknown")
    unpacked = 0
    if document is not None:
        parts = (child, document.config, *document.layers)
        result.size.total = sum(part.size for part in parts)
        here = [part for part in parts if store.content.contains(part.digest)]
        result.size = ManifestSize(
            content=sum(part.size for part in here), total=sum(part.size for part in parts)
        )
        result.available = len(here) == len(parts)
        if child.platform is None and document.config in here:
            platform = decode_config(store.content.read(document.config.digest)).platform
        if document.config.digest == image.id:
            unpacked = image.size
            result.size.total += unpacked
    if result.kind == "image":
        mine = users if document is not None and document.config.digest == image.id else []
        result.image_data = ManifestImageData(
            platform=platform, containers=mine, size=UnpackedSize(unpacked=unpacked)
        )
    return result


def _manifest(store: ImageStore, child: Descriptor) -> Manifest | None:
    try:
        return decode_manifest(store.content.read(child.digest))
    except (NotFound, IntegrityError):
        return None
