# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""Networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corten.api.message import decode
from corten.api.network import NetworkCreated, NetworkInspect
from corten.client.sync.query import filters as encode_filters
from corten.client.transport import Transport


class Networks:
    """The networks of an engine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> Sequence[NetworkInspect]:
        """The networks; `filters` as in {"driver": "bridge"}."""
        answer = self._transport.request("GET", "/networks", query=encode_filters(filters))
        return decode(answer.read(), list[NetworkInspect])

    def inspect(self, name: str) -> NetworkInspect:
        """One network, with its containers."""
        answer = self._transport.request("GET", f"/networks/{name}")
        return decode(answer.read(), NetworkInspect)

    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        subnet: str = "",
        internal: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """A network; returns its id."""
        body = {"Name": name, "Driver": driver, "Internal": internal, "Labels": dict(labels or {})}
        if subnet:
            body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": subnet}]}
        answer = self._transport.request("POST", "/networks/create", json=body)
        return decode(answer.read(), NetworkCreated).id

    def remove(self, name: str) -> None:
        """Removes one that no container uses."""
        (self._transport.request("DELETE", f"/networks/{name}")).read()
