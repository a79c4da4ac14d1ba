"""Networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corten.api.message import decode
from corten.api.network import NetworkCreated, NetworkInspect
from corten.client.aio.query import filters as encode_filters
from corten.client.async_transport import AsyncTransport


class AsyncNetworks:
    """The networks of an engine."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self, filters: Mapping[str, str | Sequence[str]] | None = None
    ) -> Sequence[NetworkInspect]:
        """The networks; `filters` as in {"driver": "bridge"}."""
        answer = await self._transport.request("GET", "/networks", query=encode_filters(filters))
        return decode(await answer.read(), list[NetworkInspect])

    async def inspect(self, name: str) -> NetworkInspect:
        """One network, with its containers."""
        answer = await self._transport.request("GET", f"/networks/{name}")
        return decode(await answer.read(), NetworkInspect)

    async def create(
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
        answer = await self._transport.request("POST", "/networks/create", json=body)
        return decode(await answer.read(), NetworkCreated).id

    async def remove(self, name: str) -> None:
        """Removes one that no container uses."""
        await (await self._transport.request("DELETE", f"/networks/{name}")).read()
