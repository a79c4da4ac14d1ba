"""Pushing: an image's manifest (or its index) and the blobs that the registry lacks."""

from __future__ import annotations

from dataclasses import dataclass

from corten.image.model import Report, silent
from corten.image.registry.client import RegistryClient
from corten.image.store import ImageStore
from corten.oci.digest import Digest
from corten.oci.platform import Platform
from corten.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the registry has now under the reference."""

    reference: Reference
    digest: Digest
    size: int


async def push(
    store: ImageStore,
    client: RegistryClient,
    reference: Reference,
    *,
    platform: Platform | None = None,
    all_tags: bool = False,
    report: Report = silent,
) -> list[Pushed]:
    """One tag, or all tags of the repository. `report` gets Docker's progress (`Preparing`, `Pushing`,
    `Layer already exists`, `Mounted from x`, `Pushed`, `tag: digest: sha256:… size: n`)."""
    raise NotImplementedError
