"""Addresses: a subnet that does not collide with what the host routes, and one address of it for each
container.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from corten.errors import Conflict, InvalidArgument

Subnet = ipaddress.IPv4Network

# Docker's default address pools: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
POOLS: tuple[Subnet, ...] = (
    *(Subnet(f"172.{second}.0.0/16") for second in range(17, 32)),
    *Subnet("192.168.0.0/16").subnets(new_prefix=20),
)


def choose_subnet(routed: Iterable[tuple[str, int]], pools: Iterable[Subnet] = POOLS) -> Subnet:
    """The first pool that overlaps none of `routed` ((network, prefix length) pairs); Conflict when all
    do.
    """
    taken = [Subnet((address, length), strict=False) for address, length in routed]
    for pool in pools:
        if not any(pool.overlaps(other) for other in taken):
            return pool
    raise Conflict(
        "cannot choose a subnet for the network bridge: all predefined address pools overlap with"
        " routes of this host"
    )


def gateway_of(subnet: Subnet) -> str:
    """The bridge's own address: the first of the subnet, as Docker has it."""
    return str(subnet.network_address + 1)


def next_address(subnet: Subnet, taken: Collection[str], after: str) -> str:
    """The next free address after `after` (the one given out last), going round.

    Going round rather than lowest first: an address is not given out again while a packet or a connection
    entry of its last owner may still be under way.
    """
    first = int(subnet.network_address) + 2
    last = int(subnet.broadcast_address) - 1
    start = int(ipaddress.IPv4Address(after)) + 1 if after else first
    if not first <= start <= last:
        start = first
    size = last - first + 1
    for step in range(size):
        candidate = str(ipaddress.IPv4Address(first + (start - first + step) % size))
        if candidate not in taken:
            return candidate
    raise Conflict(f"no available IPv4 addresses on this network's address pools: {subnet} is used up")


def check_address(subnet: Subnet, address: str, taken: Collection[str]) -> str:
    """A requested address, if it may be given out; InvalidArgument or Conflict if not."""
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError:
        raise InvalidArgument(f"invalid IPv4 address: {address}") from None
    if wanted not in subnet or wanted in (subnet.network_address, subnet.broadcast_address):
        raise InvalidArgument(f"the address {address} does not belong to the network's subnet {subnet}")
    if address in taken or address == gateway_of(subnet):
        raise Conflict(f"Address already in use: {address}")
    return str(wanted)


def mac_of(address: str) -> str:
    """The MAC address that Docker derives from an IPv4 address: 02:42 and its four bytes."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def check_mac(text: str) -> str:
    """A requested MAC address in its usual spelling; InvalidArgument if it is none."""
    parts = text.replace("-", ":").lower().split(":")
    if len(parts) != 6 or not all(len(part) == 2 and set(part) <= set("0123456789abcdef") for part in parts):
        raise InvalidArgument(f"invalid MAC address: {text}")
    if int(parts[0], 16) & 1 or parts == ["00"] * 6:
        raise InvalidArgument(f"invalid MAC address: {text} is not the address of one interface")
    return ":".join(parts)
