"""Published ports on the host: held by listening sockets of the engine, so that nobody else gets them.

No byte goes through these sockets: packets are redirected before they arrive there.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

from corten.errors import Conflict, InvalidArgument
from corten.network.model import PortBinding


def take(
    ports: Sequence[PortBinding], is_ours: Callable[[PortBinding], bool]
) -> tuple[tuple[PortBinding, ...], list[socket.socket]]:
    """Takes all `ports`, or none: (the same with real host ports, the sockets that hold them).

    `is_ours` tells whether a container of this engine has published the port, for Docker's sentence.
    Conflict.
    """
    taken: list[PortBinding] = []
    held: list[socket.socket] = []
    try:
        for port in ports:
            binding, holder = _take_one(port, is_ours)
            taken.append(binding)
            held.append(holder)
    except BaseException:
        release(held)
        raise
    return tuple(taken), held


def release(held: Sequence[socket.socket]) -> None:
    """Gives the ports back."""
    for holder in held:
        holder.close()


def _take_one(port: PortBinding, is_ours: Callable[[PortBinding], bool]) -> tuple[PortBinding, socket.socket]:
    last = max(port.host_port, port.host_port_end)
    for number in range(port.host_port, last + 1):
        try:
            holder = _listen(port.protocol, port.host_ip, number)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and number < last:
                continue
            raise _failure(port, number, error, is_ours) from error
        real = PortBinding(port.protocol, port.container_port, port.host_ip, holder.getsockname()[1])
        return real, holder
    raise AssertionError("a range has at least one port")


def _listen(protocol: str, address: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    holder = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if kind == socket.SOCK_STREAM:
            # As every server does: connections in TIME_WAIT must not keep the port. A second listener still
            # fails.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address or "0.0.0.0", number))
        if kind == socket.SOCK_STREAM:
            holder.listen(1)
    except BaseException:
        holder.close()
        raise
    return holder


def _failure(
    port: PortBinding, number: int, error: OSError, is_ours: Callable[[PortBinding], bool]
) -> Exception:
    where = f"{port.host_ip or '0.0.0.0'}:{port.host_port or number}"
    if port.host_port_end:
        where += f"-{port.host_port_end}"
    if error.errno == errno.EADDRINUSE:
        if port.host_port_end:
            return Conflict(f"Bind for {where} failed: all ports are allocated")
        if is_ours(PortBinding(port.protocol, port.container_port, port.host_ip, number)):
            return Conflict(f"Bind for {where} failed: port is already allocated")
        return Conflict(
            f"failed to bind host port {where}/{port.protocol}: address already in use (another program"
            " of this"
            f" host listens there; `ss -lntup` shows which)"
        )
    if error.errno == errno.EACCES:
        return Conflict(
            f"failed to bind host port {where}/{port.protocol}: permission denied: an ordinary user may"
            " publish"
            " ports from net.ipv4.ip_unprivileged_port_start (usually 1024) on"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidArgument(
            f"failed to bind host port {where}/{port.protocol}: this host does not have the address"
            f" {port.host_ip}"
        )
    return Conflict(f"failed to bind host port {where}/{port.protocol}: {error.strerror}")
