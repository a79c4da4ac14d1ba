"""From two locations to one copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corten.errors import NotFound
from corten.image.copy.archive import ArchiveDestination, DockerArchiveSource
from corten.image.copy.copier import DEFAULTS, CopyOptions, copy
from corten.image.copy.directory import DirectoryDestination, DirectorySource
from corten.image.copy.endpoint import Destination, Source
from corten.image.copy.files import DirectoryFiles, TarFiles
from corten.image.copy.layout import LayoutDestination, LayoutSource
from corten.image.copy.location import Location
from corten.image.copy.registry import RegistryDestination, RegistrySource
from corten.image.model import Report, silent
from corten.image.registry.client import Registries
from corten.image.registry.credentials import Credential
from corten.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Side:
    """How one side's registry is reached."""

    tls_verify: bool = True
    credential: Credential | None = None


OPEN = Side()


async def copy_image(
    source: Location,
    destination: Location,
    options: CopyOptions = DEFAULTS,
    *,
    source_side: Side = OPEN,
    destination_side: Side = OPEN,
    report: Report = silent,
) -> Digest:
    """Copies an image; the digest that it has at the destination."""
    async with Registries() as registries:
        reader = open_source(source, registries, source_side)
        try:
            found = await reader.top()  # before anything is made
            writer = open_destination(destination, registries, destination_side)
            try:
                return await copy(reader, found, writer, options, report)
            finally:
                await writer.close()
        finally:
            await reader.close()


def open_source(location: Location, registries: Registries, side: Side = OPEN) -> Source:
    """Opens it for reading; NotFound."""
    if location.reference is not None:
        client = registries.client(
            location.reference.domain, auth=side.credential, insecure=not side.tls_verify
        )
        return RegistrySource(client, location.reference)
    path = Path(location.path)
    if not path.exists():
        raise NotFound(f"cannot copy from {location}: there is no {path}")
    if location.transport == "docker-archive":
        return DockerArchiveSource(location.path, location.name)
    if location.transport == "oci-archive":
        return LayoutSource(TarFiles(location.path), location.name, location.path)
    if location.transport == "oci":
        return LayoutSource(DirectoryFiles(path), location.name, location.path)
    return DirectorySource(location.path)


def open_destination(location: Location, registries: Registries, side: Side = OPEN) -> Destination:
    """Opens it for writing."""
    if location.reference is not None:
        client = registries.client(
            location.reference.domain, auth=side.credential, insecure=not side.tls_verify
        )
        return RegistryDestination(client, location.reference)
    if location.transport == "docker-archive":
        return ArchiveDestination(location.path, location.name, docker=True)
    if location.transport == "oci-archive":
        return ArchiveDestination(location.path, location.name, docker=False)
    if location.transport == "oci":
        return LayoutDestination(location.path, location.name)
    return DirectoryDestination(location.path)
