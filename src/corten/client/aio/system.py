"""The engine itself: information, disk usage, events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from corten.api.event import Event
from corten.api.message import decode
from corten.api.system import DiskUsage, Info, Version
from corten.client.aio.query import filters as encode_filters
from corten.client.async_transport import AsyncTransport


class AsyncSystem:
    """The engine."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def ping(self) -> bool:
        """Whether it answers."""
        return (await (await self._transport.request("GET", "/_ping")).read()) == b"OK"

    async def version(self) -> Version:
        """Its version and that of its API."""
        return decode(await (await self._transport.request("GET", "/version")).read(), Version)

    async def info(self) -> Info:
        """The engine and its host."""
        return decode(await (await self._transport.request("GET", "/info")).read(), Info)

    async def disk_usage(self) -> DiskUsage:
        """What images, containers and volumes take."""
        return decode(await (await self._transport.request("GET", "/system/df")).read(), DiskUsage)

    async def events(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> AsyncIterator[Event]:
        """What happens, as it happens; until `until` (seconds since 1970), or without end."""
        query = encode_filters(filters)
        for name, value in (("since", since), ("until", until)):
            if value is not None:
                query[name] = str(value)
        answer = await self._transport.request("GET", "/events", query=query)
        try:
            async for event in answer.json_stream():
                yield msgspec.convert(event, Event)
        finally:
            await answer.aclose()
