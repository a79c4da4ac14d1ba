"""What exports of the cache need of those who keep cache mounts, and of places that keep caches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from corten.oci.descriptor import Descriptor


class MountReader(Protocol):
    """The cache mounts of this engine: `solve.cache_mounts.CacheMounts`."""

    def read(self, id: str) -> AbstractAsyncContextManager[int | None]:
        """A descriptor of the mount's directory, while no build of ours changes it; None when there is no
        such mount."""
        ...


class KeyedStore(Protocol):
    """A place that has blobs by their digests, and manifests (`keyed_manifest`) by names of its own: a
    bucket, or GitHub's cache. Every failure is one of Denied, NotFound, IntegrityError, Unavailable.

    `name` is for messages, `origin` that of its blobs (`BuiltLayer.origin`); `parallel`: how many uploads at
    once. `seconds`: how long an import, or an export, may take; None: as long as it goes on.
    """

    name: str
    origin: str
    parallel: int
    seconds: float | None

    async def manifests(self) -> list[bytes]:
        """What there is under the names; NOT verified."""
        ...

    async def write_manifests(self, change: Callable[[bytes | None], bytes]) -> None:
        """Puts under each name what `change` makes of what is there."""
        ...

    async def prepare(self) -> None:
        """Sees to it that there can be written."""
        ...

    async def keep(self, blob: Descriptor) -> bool:
        """Whether a blob is there, and stays: its age begins anew where the place forgets by age."""
        ...

    async def upload(
        self,
        blob: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        progress: Callable[[int], None],
    ) -> None:
        """Writes a blob, of which nobody sees a part; `read` gives its bytes from an offset on, `progress` is
        told how many have gone."""
        ...

    def download(self, blob: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob from `offset` on; NOT verified."""
        ...
