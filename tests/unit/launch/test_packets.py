"""Messages arrive whole, with their descriptors, whatever their size."""

from __future__ import annotations

import os
import socket

import pytest

from corten.launch import messages, packets


@pytest.fixture
def pair():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize("size", [0, 1000, messages.PACKET_LIMIT - 100, messages.PACKET_LIMIT, 5_000_000])
def test_any_size(pair, size):
    read_end, write_end = os.pipe()
    message = (1, "a", b"x" * size, (1, None, {"k": 2}))
    packets.send(pair[0], message, (write_end,))
    os.close(write_end)
    payload, fds = packets.receive_packet(pair[1])
    assert packets.decode(payload, fds) == message
    assert len(fds) == 1
    assert not os.get_inheritable(fds[0])
    os.write(fds[0], b"through")
    os.close(fds[0])
    assert os.read(read_end, 100) == b"through"
    assert os.read(read_end, 100) == b""
    os.close(read_end)


def test_the_end(pair):
    pair[0].close()
    assert packets.receive(pair[1]) == (None, [])
