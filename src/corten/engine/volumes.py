"""The volumes facet: the store of volumes, with events and with the rule that a volume in use stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corten.engine.results import Filters, Pruned

if TYPE_CHECKING:
    from corten.api.volume import Volume, VolumeCreate


class VolumeService:
    """Create, look at and remove volumes."""

    async def create(self, request: VolumeCreate) -> Volume:
        """The volume of that name, made when it does not exist; an empty name gets a random one."""
        raise NotImplementedError

    async def inspect(self, name: str) -> Volume:
        raise NotImplementedError

    async def list(self, filters: Filters | None = None) -> list[Volume]:
        """Filters: name, driver, label, dangling."""
        raise NotImplementedError

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Conflict when a container uses it; `force` forgives a volume that does not exist."""
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> Pruned:
        """Unused anonymous volumes; with filter all=true named ones too. Filter: label, label!, all."""
        raise NotImplementedError
