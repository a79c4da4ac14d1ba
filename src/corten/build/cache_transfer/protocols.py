"""What exports of the cache need of those who keep cache mounts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class MountReader(Protocol):
    """The cache mounts of this engine: `solve.cache_mounts.CacheMounts`."""

    def read(self, id: str) -> AbstractAsyncContextManager[int | None]:
        """A descriptor of the mount's directory, while no build of ours changes it; None when there is no
        such mount."""
        ...
