"""The bridge on the host and the veth pair of each container. Everything here blocks: call it from a worker
thread.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from corten.errors import Unavailable, Unsupported
from corten.linux import netns
from corten.linux.rtnetlink import (
    LOOPBACK_INDEX,
    RouteSocket,
    address_message,
    default_route_message,
    link_up_message,
)
from corten.network.addresses import Subnet, choose_subnet, gateway_of, mac_of

CONTAINER_INTERFACE = "eth0"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_LOCK_SECONDS = 10.0


class Bridge:
    """One bridge, by its name; it is looked up each time, for somebody else may remove it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._route: RouteSocket | None = None

    def close(self) -> None:
        """Closes the netlink socket."""
        if self._route is not None:
            self._route.close()
            self._route = None

    @property
    def _netlink(self) -> RouteSocket:
        if self._route is None:
            self._route = RouteSocket()
        return self._route

    @property
    def index(self) -> int:
        """The bridge's interface index, 0 when there is none."""
        try:
            return socket.if_nametoindex(self.name)
        except OSError:
            return 0

    def choose_subnet(self, wanted: Subnet | None = None) -> Subnet:
        """`wanted`, unless a route of the host has come to overlap it; else a free one of the pools."""
        routed = self._netlink.routed_subnets()
        if wanted is not None and not any(wanted.overlaps(Subnet(route, strict=False)) for route in routed):
            return wanted
        return choose_subnet(routed)

    def ensure(self, wanted: Subnet | None) -> Subnet | None:
        """Makes the bridge when it is not there, and returns its (perhaps new) subnet then; None when it was
        there.
        """
        if self.index:
            return None
        with _one_engine_at_a_time():
            subnet = self.choose_subnet(wanted)
            gateway = gateway_of(subnet)
            try:
                self._netlink.add_bridge(self.name, address=_packed_mac(mac_of(gateway)))
                self._netlink.add_address(self.index, gateway, subnet.prefixlen)
            except OSError as error:
                self.remove()
                raise _cannot(f"make the bridge {self.name}", error) from error
        # The kernel's own switch for replies from a container to 127.0.0.1; the firewall's chain `loopback`
        # guards it.
        Path(f"/proc/sys/net/ipv4/conf/{self.name}/route_localnet").write_text("1")
        if _FORWARD.read_text().strip() == "0":
            _FORWARD.write_text("1")
        return subnet

    def attach(
        self, link: str, pid: int, *, address: str, prefix: int, gateway: str, mac: str, hairpin: bool = False
    ) -> None:
        """Connects the network namespace of `pid`: `link` here, eth0 there with address and default route,
        lo up.
        """
        namespace = netns.open_of(pid)
        try:
            self._netlink.add_veth(
                link,
                master=self.index,
                peer=CONTAINER_INTERFACE,
                peer_address=_packed_mac(mac),
                peer_namespace_fd=namespace,
            )
            if hairpin:
                # Where bridged frames pass the firewall (br_netfilter), what a container sends to a port that
                # it published itself is turned round within the bridge.
                self._netlink.set_hairpin(socket.if_nametoindex(link))
            with netns.inside(namespace):
                index = socket.if_nametoindex(CONTAINER_INTERFACE)
                _disable_ipv6(CONTAINER_INTERFACE)
                inner = RouteSocket()
            with inner:
                inner.request(
                    "configure eth0",
                    link_up_message(LOOPBACK_INDEX),
                    address_message(index, address, prefix),
                    link_up_message(index),
                    default_route_message(index, gateway),
                )
        except OSError as error:
            self.detach(link)
            raise _cannot(f"connect the container to {self.name}", error) from error
        finally:
            os.close(namespace)

    def detach(self, link: str) -> None:
        """Removes a container's link, if it still exists."""
        self._netlink.delete_link(link)

    def stray(self, known: Collection[str]) -> list[str]:
        """Ports of the bridge that belong to no known container."""
        index = self.index
        if not index:
            return []
        return [name for _, name, master in self._netlink.links() if master == index and name not in known]

    def remove(self) -> None:
        """Removes the bridge and every port of it."""
        for link in self.stray(()):
            self.detach(link)
        self._netlink.delete_link(self.name)


def loopback_up(pid: int) -> None:
    """Sets `lo` up in the network namespace of `pid`."""
    namespace = netns.open_of(pid)
    try:
        with netns.inside(namespace):
            inner = RouteSocket()
        with inner:
            inner.request("set lo up", link_up_message(LOOPBACK_INDEX))
    finally:
        os.close(namespace)


@contextmanager
def _one_engine_at_a_time() -> Iterator[None]:
    """Two engines must not choose the same subnet.

    An abstract socket's name is the lock: it is taken per network namespace, as routes are, and no crash
    leaves it behind.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                holder.bind("\0corten-network")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                if time.monotonic() > deadline:
                    raise Unavailable(
                        "cannot make the bridge: another engine has been busy with its own for"
                        f" {_LOCK_SECONDS:.0f} seconds; try again"
                    ) from error
                time.sleep(0.01)
        yield
    finally:
        holder.close()


def _disable_ipv6(interface: str) -> None:
    """As Docker does where a network has no IPv6. /proc/sys/net shows the calling thread's namespace."""
    try:
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
    except FileNotFoundError:
        pass  # a kernel without IPv6


def _packed_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _cannot(what: str, error: OSError) -> Unsupported:
    reason = error.strerror or str(error)
    if error.errno == errno.EOPNOTSUPP:
        reason += ": the kernel lacks bridge or veth (`modprobe bridge veth`)"
    elif error.errno == errno.EPERM:
        reason += ": the engine needs CAP_NET_ADMIN"
    return Unsupported(f"cannot {what}: {reason}")
