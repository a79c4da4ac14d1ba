"""A registry as the source or destination of a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator

from corten.image.copy.endpoint import Read, Source, Tell
from corten.image.registry.client import Fetched, RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.reference import Reference


class RegistrySource:
    """`client` is closed by whoever opened it."""

    made = False

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self.domain = reference.domain
        self.repository = reference.path
        self._client = client
        self._reference = reference

    async def top(self) -> Fetched:
        reference = self._reference
        return await self._client.manifest(reference.path, reference.digest or reference.tag or "latest")

    async def manifest(self, descriptor: Descriptor) -> bytes:
        return (await self._client.manifest(self.repository, descriptor.digest)).data

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        return self._client.blob(self.repository, descriptor, offset)

    async def close(self) -> None:
        """The client is not ours."""


class RegistryDestination:
    """The tag is put last: a copy that dies leaves none that is broken."""

    oci_only = False
    compresses = True

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self._client = client
        self._reference = reference
        self._repository = reference.path

    async def has(self, descriptor: Descriptor) -> bool:
        return await self._client.blob_exists(self._repository, descriptor.digest)

    async def put_blob(self, descriptor: Descriptor, read: Read, source: Source, tell: Tell) -> str:
        near = source.domain == self._reference.domain and source.repository != self._repository
        origin = source.repository if near else ""
        sent = await self._client.upload_blob(
            self._repository, descriptor, read, mount_from=origin, progress=tell
        )
        return "Copied" if sent else f"Mounted from {origin}"

    async def put_manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> None:
        reference = self._reference
        name = (reference.digest or reference.tag or "latest") if top else descriptor.digest
        await self._client.put_manifest(self._repository, name, data, descriptor.media_type)

    async def commit(self) -> None:
        """Everything is there already."""

    async def close(self) -> None:
        """The client is not ours."""
