"""The networks facet."""

from __future__ import annotations

import re

from corten.api.network import IPAM, IPAMPool, NetworkContainer, NetworkCreate, NetworkCreated, NetworkInspect
from corten.engine.core import Core
from corten.engine.removal import labels_match
from corten.engine.results import Filters, Pruned
from corten.engine.timestamp import rfc3339
from corten.errors import InvalidArgument
from corten.network.model import DEFAULT_NETWORKS, Network

_KEYS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


class NetworkService:
    """Look at networks (bridge, host, none; user-defined ones come later)."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(self, filters: Filters | None = None) -> list[NetworkInspect]:
        """Filters: driver, id, label, name, scope, type (builtin or custom), dangling."""
        filters = filters or {}
        for key in filters:
            if key not in _KEYS:
                raise InvalidArgument(f"invalid filter '{key}'")
        return [
            self._show(network) for network in self._core.network.list() if self._matches(network, filters)
        ]

    def _matches(self, network: Network, filters: Filters) -> bool:
        kind = "builtin" if network.name in DEFAULT_NETWORKS else "custom"
        for key, values in filters.items():
            found = {
                "driver": network.driver in values,
                "id": any(network.id.startswith(value) for value in values),
                "name": any(re.search(re.escape(value), network.name) for value in values),
                "scope": "local" in values,
                "type": kind in values,
                "dangling": (kind == "custom") is (values[:1] in (["true"], ["1"])),
            }.get(key, True)
            if values and not found:
                return False
        return labels_match(network.labels, filters)

    async def inspect(self, ref: str) -> NetworkInspect:
        network = self._core.network.get(ref)
        result = self._show(network)
        for endpoint in self._core.network.endpoints(network.id):
            container = self._core.catalog.find(endpoint.container_id)
            result.containers[endpoint.container_id] = NetworkContainer(
                name=container.name if container else "",
                endpoint_id=endpoint.endpoint_id,
                mac_address=endpoint.mac_address,
                ipv4_address=f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
            )
        return result

    async def create(self, request: NetworkCreate) -> NetworkCreated:
        network = await self._core.network.create(request.name)
        self._core.events.publish(
            "network", "create", network.id, {"name": network.name, "type": network.driver}
        )
        return NetworkCreated(id=network.id)

    async def remove(self, ref: str) -> None:
        network = self._core.network.get(ref)
        await self._core.network.remove(ref)
        self._core.events.publish(
            "network", "destroy", network.id, {"name": network.name, "type": network.driver}
        )

    async def prune(self, filters: Filters | None = None) -> Pruned:
        for key in filters or {}:
            if key not in ("label", "label!", "until"):
                raise InvalidArgument(f"invalid filter '{key}'")
        return Pruned(tuple(await self._core.network.prune()))

    def _show(self, network: Network) -> NetworkInspect:
        pools = [IPAMPool(subnet=network.subnet, gateway=network.gateway)] if network.subnet else []
        return NetworkInspect(
            name=network.name,
            id=network.id,
            created=rfc3339(network.created_ns),
            driver=network.driver,
            ipam=IPAM(config=pools),
            internal=network.internal,
            options=dict(network.options),
            labels=dict(network.labels),
        )
