# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""Volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from corten.api.message import decode
from corten.api.volume import Volume
from corten.client.sync.query import filters as encode_filters
from corten.client.transport import Transport


class VolumesPruned(msgspec.Struct, rename="pascal", kw_only=True):
    """What a prune removed."""

    volumes_deleted: Sequence[str] = ()
    space_reclaimed: int = 0


class _List(msgspec.Struct, rename="pascal", kw_only=True):
    volumes: list[Volume] = []


class Volumes:
    """The volumes of an engine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
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
        answer = self._transport.request("POST", "/volumes/create", json=body)
        return decode(answer.read(), Volume)

    def inspect(self, name: str) -> Volume:
        """One volume."""
        return decode((self._transport.request("GET", f"/volumes/{name}")).read(), Volume)

    def list(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> Sequence[Volume]:
        """The volumes; `filters` as in {"dangling": "true"}."""
        answer = self._transport.request("GET", "/volumes", query=encode_filters(filters))
        return decode(answer.read(), _List).volumes

    def remove(self, name: str, *, force: bool = False) -> None:
        """Removes one that no container uses."""
        query = {"force": "1"} if force else None
        (self._transport.request("DELETE", f"/volumes/{name}", query=query)).read()

    def prune(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> VolumesPruned:
        """Removes anonymous volumes that no container uses; {"all": "true"} named ones too."""
        answer = self._transport.request("POST", "/volumes/prune", query=encode_filters(filters))
        return decode(answer.read(), VolumesPruned)
