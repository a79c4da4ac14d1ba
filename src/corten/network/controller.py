"""The engine's one entrance to the network: networks, addresses, links, published ports."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from corten.errors import Conflict, Denied, InvalidArgument, Unsupported
from corten.network import host_ports, pasta
from corten.network.addresses import Subnet, check_address, check_mac, gateway_of, mac_of, next_address
from corten.network.firewall import Firewall, FirewallError
from corten.network.links import Bridge
from corten.network.model import DEFAULT_NETWORKS, Endpoint, EndpointSettings, Network, PortBinding
from corten.network.pasta import Pasta
from corten.network.store import EndpointList, NetworkList, NetworkStore

_SWEEP_SECONDS = 0.5
_DEFAULT_RUN = Path("/run/corten")
_T = TypeVar("_T")
_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}


class NetworkController:
    """Networks of one engine. Methods that touch the kernel are coroutines; the others answer from SQLite.

    The kernel is touched by one worker thread, in order: that thread visits other network namespaces, and the
    firewall's transactions do not race.
    """

    def __init__(self, connection: sqlite3.Connection, run_dir: Path, *, rootless: bool = False) -> None:
        self._store = NetworkStore(connection, private_addresses=rootless)
        self._rootless = rootless
        suffix = "" if run_dir == _DEFAULT_RUN else hashlib.sha256(str(run_dir).encode()).hexdigest()[:8]
        self.bridge_name = f"corten-{suffix}" if suffix else "corten0"  # at most 15 characters
        self._bridge = Bridge(self.bridge_name)
        self._firewall = Firewall(f"corten_{suffix}" if suffix else "corten", self.bridge_name)
        self._pasta = Pasta(run_dir)
        # Both belong to the worker thread. What is connected, and the sockets that hold its ports.
        self._active: dict[str, Endpoint] = {}
        self._held: dict[str, list[socket.socket]] = {}
        self._doomed: set[str] = set()  # links of detached containers that may still exist
        self._sweep: asyncio.TimerHandle | None = None
        self._last_address = ""
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="corten-network")

    async def ensure_default(self) -> None:
        """Make the rows of `bridge`, `host` and `none` (no interface and no rule: these come with the first
        container).
        """
        known = {network.name for network in self._store.networks()}
        for name in DEFAULT_NETWORKS:
            if name not in known:
                network = Network(secrets.token_hex(32), name, _DRIVERS[name], time.time_ns())
                if name == "bridge":
                    network = await self._with_subnet(network)
                self._store.put_network(network)

    async def attach(self, container_id: str, pid: int, settings: EndpointSettings) -> Endpoint:
        """Connect the network namespace of process `pid` (held before its exec) and publish its ports.

        For `host` and `none` only the row is made. Raises Conflict (a port or address in use), NotFound (no
        such network), Unsupported (a missing tool or kernel feature); leaves nothing behind then.
        """
        network = self._store.network(settings.network or "bridge")
        if network.driver == "bridge" and not self._rootless and not self._bridge.index:
            network = await self._with_bridge(network)
        endpoint = self._reserve(network, container_id, settings)
        if network.driver != "bridge":
            return endpoint
        job = self._attach_by_pasta if self._rootless else self._attach_by_bridge
        try:
            endpoint = await self._run(lambda: job(network, endpoint, pid))
        except BaseException:
            # Also when the caller was cancelled: the worker takes jobs in order, so this one comes after.
            await asyncio.shield(self._forget(endpoint))
            raise
        self._store.put_endpoint(endpoint)
        return endpoint

    async def detach(self, container_id: str) -> None:
        """Take back everything of `attach`; also good when the container is dead, or was never attached."""
        for endpoint in self._store.endpoints(container_id=container_id):
            await asyncio.shield(self._forget(endpoint))

    async def recover(self, live: Collection[str]) -> None:
        """At the engine's start: of all endpoints those of the `live` containers stay; all else is
        removed.
        """
        await self.ensure_default()
        endpoints = self._store.endpoints()
        for endpoint in endpoints:
            if endpoint.container_id not in live:
                self._store.delete_endpoint(endpoint)
        kept = [
            e for e in endpoints if e.container_id in live and e.address
        ]  # no address: attach was cut short
        if kept:
            self._last_address = kept[-1].address
        if self._rootless:
            await self._run(lambda: self._recover_pasta(kept))
        else:
            network = self._store.network("bridge")
            await self._run(lambda: self._recover_bridge(network, kept))

    async def close(self, *, idle: bool) -> None:
        """Close sockets; with `idle` (no container runs) also remove the bridge and the firewall table."""
        if self._sweep is not None:
            self._sweep.cancel()
            await self._run(self._sweep_links)
        if idle and not self._rootless and not any(e.address for e in self._store.endpoints()):
            await self._run(self._remove_all)
        await self._run(self._bridge.close)
        for held in self._held.values():
            host_ports.release(held)
        self._held.clear()
        self._worker.shutdown(wait=False)

    def list(self) -> NetworkList:
        """All networks, default ones first."""
        return self._store.networks()

    def get(self, name_or_id: str) -> Network:
        """By name, id or unique id prefix; raises NotFound."""
        return self._store.network(name_or_id)

    def endpoint(self, container_id: str) -> Endpoint | None:
        """The endpoint of a running container, or None."""
        return next(iter(self._store.endpoints(container_id=container_id)), None)

    def endpoints(self, network_id: str) -> EndpointList:
        """All endpoints of a network."""
        return self._store.endpoints(network_id=network_id)

    @property
    def forwarder(self) -> str:
        """The name server to offer when the host's own cannot be reached from a container ("": none)."""
        return pasta.DNS_FORWARDER if self._rootless else ""

    @property
    def host_gateway(self) -> str:
        """The address by which containers of the default network reach the host (--add-host
        x:host-gateway).
        """
        return self._pasta.host_address() if self._rootless else self._store.network("bridge").gateway

    async def create(self, name: str) -> Network:
        """User-defined networks are not there yet: raises Unsupported (or Conflict for a name in use)."""
        if any(network.name == name for network in self._store.networks()):
            raise Conflict(f"network with name {name} already exists")
        raise Unsupported(
            f"cannot create the network {name}: user-defined networks are not there yet;"
            " use bridge, host, none or container:NAME"
        )

    async def remove(self, name_or_id: str) -> None:
        """Raises Denied for the default networks, as Docker does."""
        network = self._store.network(name_or_id)
        raise Denied(f"{network.name} is a pre-defined network and cannot be removed")

    async def prune(self) -> tuple[str, ...]:
        """Names of the removed unused networks (the default ones are never removed)."""
        return ()

    async def _with_bridge(self, network: Network) -> Network:
        """The network with its bridge made, whose subnet is another one when the host came to route the old
        one.
        """
        wanted = Subnet(network.subnet)
        subnet = await self._run(lambda: self._make_bridge(wanted))
        network = self._store.network(network.id)
        if str(subnet) != network.subnet and subnet != wanted:
            network = msgspec.structs.replace(network, subnet=str(subnet), gateway=gateway_of(subnet))
            self._store.put_network(network)
        return network

    # -- SQLite, on the event loop

    def _reserve(self, network: Network, container_id: str, settings: EndpointSettings) -> Endpoint:
        for port in settings.ports:
            if ":" in port.host_ip:
                raise Unsupported(
                    f"cannot publish a port on [{port.host_ip}]: this version publishes on IPv4 addresses"
                )
        endpoint = Endpoint(
            endpoint_id=secrets.token_hex(32),
            network_id=network.id,
            network_name=network.name,
            container_id=container_id,
            ports=settings.ports,
            aliases=settings.aliases,
        )
        if network.driver == "bridge" and not self._rootless:
            subnet = Subnet(network.subnet)
            leased = self._store.leased(network.id)
            if settings.ipv4_address:
                address = check_address(subnet, settings.ipv4_address, leased)
            else:
                address = self._last_address = next_address(subnet, leased, self._last_address)
            endpoint = msgspec.structs.replace(
                endpoint,
                address=address,
                prefix=subnet.prefixlen,
                gateway=network.gateway,
                mac_address=check_mac(settings.mac_address) if settings.mac_address else mac_of(address),
            )
        elif network.driver != "bridge":
            endpoint = msgspec.structs.replace(endpoint, ports=())
        self._store.put_endpoint(endpoint)
        return endpoint

    async def _forget(self, endpoint: Endpoint) -> None:
        if endpoint.network_name not in ("host", "none"):
            current = next(
                (
                    e
                    for e in self._store.endpoints(container_id=endpoint.container_id)
                    if e.network_id == endpoint.network_id
                ),
                endpoint,
            )
            await self._run(lambda: self._take_back(current))
            self._sweep_later()
        self._store.delete_endpoint(endpoint)

    def _sweep_later(self) -> None:
        """The kernel removes a dead container's link by itself, many at a time; asking for it costs 16 ms
        each.
        """
        if self._sweep is None and not self._rootless:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        self._worker.submit(self._sweep_links)

    async def _with_subnet(self, network: Network) -> Network:
        if self._rootless:
            subnet = Subnet((pasta.ADDRESS, pasta.PREFIX), strict=False)
            return msgspec.structs.replace(network, subnet=str(subnet), gateway=pasta.GATEWAY)
        subnet = await self._run(self._bridge.choose_subnet)
        return msgspec.structs.replace(
            network, subnet=str(subnet), gateway=gateway_of(subnet), interface=self.bridge_name
        )

    async def _run(self, job: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    # -- the kernel, on the worker thread

    def _make_bridge(self, wanted: Subnet) -> Subnet:
        subnet = self._bridge.ensure(wanted)
        if subnet is None:
            return wanted  # another container's start was first
        try:
            self._firewall.install(str(subnet), self._active.values())
        except BaseException:
            self._bridge.remove()
            raise
        return subnet

    def _attach_by_bridge(self, network: Network, endpoint: Endpoint, pid: int) -> Endpoint:
        ports, held = host_ports.take(endpoint.ports, self._is_ours)
        self._held[endpoint.container_id] = held
        endpoint = msgspec.structs.replace(endpoint, ports=ports)
        self._bridge.attach(
            link_of(endpoint),
            pid,
            address=endpoint.address,
            prefix=endpoint.prefix,
            gateway=endpoint.gateway,
            mac=endpoint.mac_address,
            hairpin=bool(ports),
        )
        try:
            self._firewall.publish(endpoint.address, ports)
        except FirewallError:
            # Somebody flushed the host's rules: make the table anew; if that fails too, it is the kernel.
            self._firewall.install(network.subnet, (*self._active.values(), endpoint))
        self._active[endpoint.container_id] = endpoint
        return endpoint

    def _attach_by_pasta(self, _network: Network, endpoint: Endpoint, pid: int) -> Endpoint:
        ports, held = host_ports.take(endpoint.ports, self._is_ours)
        host_ports.release(held)  # only to choose and to check: pasta itself is the one that listens
        self._pasta.attach(endpoint.container_id, pid, ports)
        endpoint = msgspec.structs.replace(
            endpoint, ports=ports, address=pasta.ADDRESS, prefix=pasta.PREFIX, gateway=pasta.GATEWAY
        )
        self._active[endpoint.container_id] = endpoint
        return endpoint

    def _take_back(self, endpoint: Endpoint) -> None:
        active = self._active.pop(endpoint.container_id, None)
        if self._rootless:
            self._pasta.detach(endpoint.container_id)
            return
        try:
            if active is not None:
                self._firewall.unpublish(active.address, active.ports)
        except FirewallError:
            pass  # somebody flushed the host's rules: nothing is published any more
        finally:
            host_ports.release(self._held.pop(endpoint.container_id, ()))
            self._doomed.add(link_of(endpoint))

    def _sweep_links(self) -> None:
        """Removes links that did not go with their namespace (somebody else keeps it alive)."""
        while self._doomed:
            self._bridge.detach(self._doomed.pop())

    def _recover_bridge(self, network: Network, kept: EndpointList) -> None:
        if not kept:
            self._remove_all()
            return
        for endpoint in kept:
            self._active[endpoint.container_id] = endpoint
            try:
                self._held[endpoint.container_id] = host_ports.take(endpoint.ports, self._is_ours)[1]
            except (Conflict, InvalidArgument):
                pass  # taken while no engine ran; the redirection goes on all the same
        for link in self._bridge.stray({link_of(endpoint) for endpoint in kept}):
            self._bridge.detach(link)
        self._firewall.install(network.subnet, kept)

    def _recover_pasta(self, kept: EndpointList) -> None:
        self._active.update({endpoint.container_id: endpoint for endpoint in kept})
        for container_id in self._pasta.recorded():
            if container_id not in self._active:
                self._pasta.detach(container_id)

    def _remove_all(self) -> None:
        if (
            self._bridge.index
        ):  # the table is made after the bridge and removed before it: no bridge, no table
            self._firewall.remove()
            self._bridge.remove()

    def _is_ours(self, wanted: PortBinding) -> bool:
        return any(
            (port.protocol, port.host_port) == (wanted.protocol, wanted.host_port)
            for endpoint in self._active.values()
            for port in endpoint.ports
        )


def link_of(endpoint: Endpoint) -> str:
    """The name of the veth's end on the host."""
    return f"veth{endpoint.endpoint_id[:10]}"
