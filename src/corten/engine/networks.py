"""The networks facet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corten.engine.results import Filters, Pruned

if TYPE_CHECKING:
    from corten.api.network import Network


class NetworkService:
    """Look at networks (bridge, host, none; user-defined ones come later)."""

    async def list(self, filters: Filters | None = None) -> list[Network]:
        raise NotImplementedError

    async def inspect(self, ref: str) -> Network:
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> Pruned:
        raise NotImplementedError
