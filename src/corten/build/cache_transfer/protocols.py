"""What transfers of the cache and those who keep cache mounts need of each other."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class MountFiller(Protocol):
    """Cache mounts that other machines have exported: `cache_transfer.mounts`. Of one build."""

    async def fill(self, id: str, directory: int) -> bool:
        """Called when a cache mount is about to be used that is new here and empty: `directory` is a
        descriptor of it. Fills it with what was imported (owners, modes and times as they were). False when
        nothing was. After a failure (Unavailable, IntegrityError, NoSpace) it may hold a part, which the
        caller empties."""
        ...


class MountReader(Protocol):
    """The cache mounts of this engine, for who exports them."""

    def read(self, id: str) -> AbstractAsyncContextManager[int | None]:
        """A descriptor of the mount's directory, while no build of ours changes it; None when there is no
        such mount."""
        ...
