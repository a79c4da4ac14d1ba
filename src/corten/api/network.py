"""Networks, and how a container is connected to one."""

from __future__ import annotations

import msgspec

from corten.api.message import Message

_field = msgspec.field


class EndpointIPAMConfig(Message, kw_only=True):
    ipv4_address: str = _field(name="IPv4Address", default="")
    ipv6_address: str = _field(name="IPv6Address", default="")
    link_local_ips: list[str] = _field(name="LinkLocalIPs", default_factory=list)


class EndpointSettings(Message, kw_only=True):
    """A container's connection to one network: what was asked for, and what it got."""

    ipam_config: EndpointIPAMConfig | None = _field(name="IPAMConfig", default=None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = _field(name="NetworkID", default="")
    endpoint_id: str = _field(name="EndpointID", default="")
    gateway: str = ""
    ip_address: str = _field(name="IPAddress", default="")
    ip_prefix_len: int = _field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = _field(name="IPv6Gateway", default="")
    global_ipv6_address: str = _field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = _field(name="GlobalIPv6PrefixLen", default=0)
    dns_names: list[str] | None = _field(name="DNSNames", default=None)


class NetworkingConfig(Message, kw_only=True):
    """Part of a container's creation: network name → endpoint."""

    endpoints_config: dict[str, EndpointSettings | None] = {}


class IPAMPool(Message, kw_only=True):
    subnet: str = ""
    ip_range: str = _field(name="IPRange", default="")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = _field(name="AuxiliaryAddresses", default_factory=dict)


class IPAM(Message, kw_only=True):
    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IPAMPool] = []


class ConfigReference(Message, kw_only=True):
    network: str = ""


class NetworkCreate(Message, kw_only=True):
    """POST /networks/create."""

    name: str = ""
    driver: str = ""
    check_duplicate: bool = False
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    enable_ipv4: bool | None = _field(name="EnableIPv4", default=None)
    enable_ipv6: bool | None = _field(name="EnableIPv6", default=None)
    ipam: IPAM | None = _field(name="IPAM", default=None)
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class NetworkCreated(Message, kw_only=True):
    id: str
    warning: str = ""


class NetworkContainer(Message, kw_only=True):
    name: str = ""
    endpoint_id: str = _field(name="EndpointID", default="")
    mac_address: str = ""
    ipv4_address: str = _field(name="IPv4Address", default="")
    ipv6_address: str = _field(name="IPv6Address", default="")


class NetworkInspect(Message, kw_only=True):
    """GET /networks/{id}; the list has the same shape, without containers."""

    name: str
    id: str
    created: str = ""
    scope: str = "local"
    driver: str = "bridge"
    enable_ipv4: bool = _field(name="EnableIPv4", default=True)
    enable_ipv6: bool = _field(name="EnableIPv6", default=False)
    ipam: IPAM = _field(name="IPAM", default_factory=IPAM)
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_from: ConfigReference = _field(default_factory=ConfigReference)
    config_only: bool = False
    containers: dict[str, NetworkContainer] = {}
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class NetworkConnect(Message, kw_only=True):
    """POST /networks/{id}/connect."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Message, kw_only=True):
    """POST /networks/{id}/disconnect."""

    container: str = ""
    force: bool = False


class NetworkPruned(Message, kw_only=True):
    networks_deleted: list[str] | None = None
