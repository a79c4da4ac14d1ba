"""The values of the network package: what a container asks for, and what it got."""

from __future__ import annotations

import msgspec

DEFAULT_NETWORKS = ("bridge", "host", "none")


class PortBinding(msgspec.Struct, frozen=True, order=True):
    """One published port. `host_port` 0 asks for a free one; `host_port_end` > `host_port` asks for the
    first free of a range.
    """

    protocol: str  # "tcp" or "udp"
    container_port: int
    host_ip: str = ""  # "" is every address of the host
    host_port: int = 0
    host_port_end: int = 0  # 0: no range

    @property
    def key(self) -> str:
        """The key of Docker's port maps, such as ``80/tcp``."""
        return f"{self.container_port}/{self.protocol}"


class EndpointSettings(msgspec.Struct, frozen=True):
    """What a container asks of the network it joins."""

    network: str = "bridge"
    ports: tuple[PortBinding, ...] = ()
    mac_address: str = ""
    ipv4_address: str = ""
    aliases: tuple[str, ...] = ()


class Endpoint(msgspec.Struct, frozen=True):
    """A container's place in a network. `ports` holds the host ports really taken (never 0, never a
    range).
    """

    endpoint_id: str
    network_id: str
    network_name: str
    container_id: str
    address: str = ""  # IPv4 address, without prefix
    prefix: int = 0
    gateway: str = ""
    mac_address: str = ""
    ports: tuple[PortBinding, ...] = ()
    aliases: tuple[str, ...] = ()


class Network(msgspec.Struct, frozen=True):
    """A network: one of the three default ones; user-defined ones have the same shape."""

    id: str
    name: str
    driver: str  # "bridge", "host", "null" (Docker's name for none), "pasta" under rootless
    created_ns: int
    subnet: str = ""
    gateway: str = ""
    interface: str = ""  # the bridge's name on the host
    internal: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
