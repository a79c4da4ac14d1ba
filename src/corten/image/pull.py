"""Pulling: from a reference to an image that can be started."""

from __future__ import annotations

from dataclasses import dataclass

from corten.image.model import Report, silent
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.oci.digest import Digest
from corten.oci.platform import Platform
from corten.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class PulledImage:
    """`image_id` is empty for an artifact (whose blobs are stored, which cannot be run). `newer` is False
    when it was there already."""

    reference: Reference
    image_id: str
    digest: Digest
    newer: bool
    artifact_type: str = ""


async def pull(
    store: ImageStore,
    client: RegistryClient,
    reference: Reference,
    *,
    platform: Platform | None = None,
    all_platforms: bool = False,
    all_tags: bool = False,
    report: Report = silent,
) -> list[PulledImage]:
    """One image, or with `all_tags` one per tag. `report` gets Docker's progress (`Pulling from x`,
    `Pulling fs layer`, `Downloading`, `Verifying Checksum`, `Download complete`, `Extracting`,
    `Pull complete`, `Already exists`, `Digest: …`, `Status: …`), on the event loop or from a thread."""
    raise NotImplementedError
