"""Volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from corten.api.message import decode
from corten.api.volume import Volume
from corten.client.aio.query import filters as encode_filters
from corten.client.async_transport import AsyncTransport


class VolumesPruned(msgspec.Struct, rename="pascal", kw_only=True):
    """What a prune removed."""

    volumes_deleted: Sequence[str] = ()
    space_reclaimed: int = 0


class _List(msgspec.Struct, rename="pascal", kw_only=True):
    volumes: list[Volume] = []


class AsyncVolumes:
    """The volumes of an engine."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """A volume; without a name an anonymous one."""
        body = {
            "Name": name,
            "Driver": driver,
            "DriverOpts": dict(options or {}),
            "Labels": dict(labels or {}),
        }
        answer = await self._transport.request("POST", "/volumes/create", json=body)
        return decode(await answer.read(), Volume)

    async def inspect(self, name: str) -> Volume:
        """One volume."""
        return decode(await (await self._transport.request("GET", f"/volumes/{name}")).read(), Volume)

    async def list(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> Sequence[Volume]:
        """The volumes; `filters` as in {"dangling": "true"}."""
        answer = await self._transport.request("GET", "/volumes", query=encode_filters(filters))
        return decode(await answer.read(), _List).volumes

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Removes one that no container uses."""
        query = {"force": "1"} if force else None
        await (await self._transport.request("DELETE", f"/volumes/{name}", query=query)).read()

    async def prune(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> VolumesPruned:
        """Removes anonymous volumes that no container uses; {"all": "true"} named ones too."""
        answer = await self._transport.request("POST", "/volumes/prune", query=encode_filters(filters))
        return decode(await answer.read(), VolumesPruned)
