"""What a copy is made from and to: one Protocol each, for registries, archives and directories."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from corten.image.registry.client import Fetched
from corten.oci.descriptor import Descriptor

Read = Callable[[int], AsyncIterator[bytes]]
"""The bytes of a blob from an offset on; may be called again."""

Tell = Callable[[int], None]
"""How many bytes have been written so far."""


class Source(Protocol):
    """Where an image is read."""

    #: The registry and repository, for a mount instead of an upload; empty elsewhere.
    domain: str
    repository: str
    #: Whether the manifest was made up for this copy, so that nobody knows its digest.
    made: bool

    async def top(self) -> Fetched:
        """The manifest or index that the location names. NotFound."""
        ...

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest that an index names; None of it is verified here."""
        ...

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """A config or layer; the reader verifies."""
        ...

    async def close(self) -> None:
        """Lets go of files and connections."""
        ...


class Destination(Protocol):
    """Where an image is written. Nothing shows under its name before `commit`."""

    #: Whether it holds OCI's media types only (an image layout).
    oci_only: bool
    #: Whether layers that nobody has compressed yet are to be.
    compresses: bool

    async def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there already."""
        ...

    async def put_blob(self, descriptor: Descriptor, read: Read, source: Source, tell: Tell) -> str:
        """Writes a blob; what happened, in a word or two for a person."""
        ...

    async def put_manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> None:
        """Writes a manifest whose blobs are there; the `top` one is what the location names."""
        ...

    async def commit(self) -> None:
        """Everything is there."""
        ...

    async def close(self) -> None:
        """Lets go; what was not committed and can be told apart is removed."""
        ...
