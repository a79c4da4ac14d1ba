"""The distribution-spec 1.1 client: manifests, blobs, uploads, tags, referrers of one registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from corten.image.registry.config import RegistryConfig
from corten.image.registry.credentials import Credential, Credentials
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index as the registry has it; `descriptor` was verified against `data`."""

    descriptor: Descriptor
    data: bytes


class Registries:
    """All registries of one engine (or one command): connections, tokens, credentials and configuration.

    An asynchronous context manager; one per event loop. `client(domain)` is cheap and remembers its tokens.
    """

    def __init__(
        self, *, config: RegistryConfig | None = None, credentials: Credentials | None = None
    ) -> None:
        raise NotImplementedError

    def client(
        self, domain: str, *, auth: Credential | None = None, insecure: bool = False
    ) -> RegistryClient:
        """The client of `Reference.domain`. `auth` overrides what is configured (X-Registry-Auth of the
        API); `insecure` is --tls-verify=false."""
        raise NotImplementedError

    async def close(self) -> None:
        """Closes the connections."""
        raise NotImplementedError

    async def __aenter__(self) -> Registries:
        raise NotImplementedError

    async def __aexit__(self, *exc: object) -> None:
        raise NotImplementedError


class RegistryClient:
    """One registry. `repository` is a reference's path (`library/busybox`), `reference` a tag or digest.

    Errors: NotFound, Denied (401, 403), Unavailable (network, 5xx, rate limits), IntegrityError (what lies).
    """

    async def manifest(self, repository: str, reference: str) -> Fetched:
        """A manifest or index, verified, at most 4 MiB."""
        raise NotImplementedError

    async def manifest_descriptor(self, repository: str, reference: str) -> Descriptor | None:
        """What HEAD says of a manifest; None when there is none."""
        raise NotImplementedError

    def blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob from `offset` on; a broken connection is resumed. NOT verified: the reader
        hashes. IntegrityError for a body that is longer than the descriptor."""
        raise NotImplementedError

    async def read_blob(self, repository: str, descriptor: Descriptor, *, limit: int = 8 << 20) -> bytes:
        """A small blob (a config), verified."""
        raise NotImplementedError

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        """Whether a repository has a blob."""
        raise NotImplementedError

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """Cross-repository mount; False when the registry wants the bytes instead."""
        raise NotImplementedError

    async def upload_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        *,
        mount_from: str = "",
        chunk_size: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Uploads a blob, monolithic, or in chunks of `chunk_size` bytes. `read(offset)` iterates over its
        bytes from there on (asked again for a retry). False when it was mounted and nothing was sent."""
        raise NotImplementedError

    async def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> Digest:
        """Stores a manifest or index under a tag or digest."""
        raise NotImplementedError

    async def delete_manifest(self, repository: str, reference: str) -> None:
        """Deletes a tag or a manifest."""
        raise NotImplementedError

    async def tags(self, repository: str) -> list[str]:
        """All tags, page by page."""
        raise NotImplementedError

    async def referrers(
        self, repository: str, digest: Digest, *, artifact_type: str = ""
    ) -> list[Descriptor]:
        """What refers to a manifest (signatures, SBOMs); by the referrers tag where the API is missing."""
        raise NotImplementedError

    async def catalog(self) -> list[str]:
        """All repositories, where the registry tells."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Raises unless a registry answers and lets us in."""
        raise NotImplementedError

    async def login(self) -> str:
        """Checks this client's `auth`; returns an identity token when the registry gave one, else ""."""
        raise NotImplementedError
