"""Ports of the host are held while they are published."""

import socket

import pytest

from corten.errors import Conflict, InvalidArgument
from corten.network import host_ports
from corten.network.model import PortBinding


def nobody(_: PortBinding) -> bool:
    return False


def test_a_random_port_is_taken_and_given_back() -> None:
    (real,), held = host_ports.take([PortBinding("tcp", 80, "127.0.0.1")], nobody)
    assert real.host_port > 0
    assert real.container_port == 80
    with pytest.raises(Conflict, match="address already in use"):
        host_ports.take([real], nobody)
    with pytest.raises(Conflict, match="port is already allocated"):
        host_ports.take([real], lambda wanted: wanted.host_port == real.host_port)
    host_ports.release(held)
    host_ports.release(host_ports.take([real], nobody)[1])


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_range_gives_the_first_free_one(protocol: str) -> None:
    (first,), held = host_ports.take([PortBinding(protocol, 80, "127.0.0.1")], nobody)
    wanted = PortBinding(protocol, 80, "127.0.0.1", first.host_port, first.host_port + 20)
    (second,), more = host_ports.take([wanted], nobody)
    assert first.host_port < second.host_port <= first.host_port + 20
    host_ports.release([*held, *more])


def test_all_or_nothing() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        used = listener.getsockname()[1]
        (free,), held = host_ports.take([PortBinding("tcp", 80, "127.0.0.1")], nobody)
        host_ports.release(held)
        with pytest.raises(Conflict, match=f"127.0.0.1:{used}"):
            host_ports.take([free, PortBinding("tcp", 81, "127.0.0.1", used)], nobody)
        host_ports.release(host_ports.take([free], nobody)[1])  # was not kept


def test_an_address_the_host_does_not_have() -> None:
    with pytest.raises(InvalidArgument, match=r"203\.0\.113\.7"):
        host_ports.take([PortBinding("tcp", 80, "203.0.113.7")], nobody)
