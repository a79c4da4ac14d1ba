"""The system facet: info, version, disk usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corten.api.system import DiskUsage, SystemInfo, Version


class SystemService:
    """What the engine is and what it uses."""

    async def info(self) -> SystemInfo:
        raise NotImplementedError

    def version(self) -> Version:
        raise NotImplementedError

    async def df(self, types: tuple[str, ...] = ()) -> DiskUsage:
        """Disk usage of containers, images and volumes; `types` picks of container, image, volume."""
        raise NotImplementedError
