# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""The engine itself: information, disk usage, events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from corten.api.event import Event
from corten.api.message import decode
from corten.api.system import DiskUsage, Info, Version
from corten.client.sync.query import filters as encode_filters
from corten.client.transport import Transport


class System:
    """The engine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ping(self) -> bool:
        """Whether it answers."""
        return ((self._transport.request("GET", "/_ping")).read()) == b"OK"

    def version(self) -> Version:
        """Its version and that of its API."""
        return decode((self._transport.request("GET", "/version")).read(), Version)

    def info(self) -> Info:
        """The engine and its host."""
        return decode((self._transport.request("GET", "/info")).read(), Info)

    def disk_usage(self) -> DiskUsage:
        """What images, containers and volumes take."""
        return decode((self._transport.request("GET", "/system/df")).read(), DiskUsage)

    def events(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> Iterator[Event]:
        """What happens, as it happens; until `until` (seconds since 1970), or without end."""
        query = encode_filters(filters)
        for name, value in (("since", since), ("until", until)):
            if value is not None:
                query[name] = str(value)
        answer = self._transport.request("GET", "/events", query=query)
        try:
            for event in answer.json_stream():
                yield msgspec.convert(event, Event)
        finally:
            answer.close()
