"""The pump between a container, its log and its clients, without processes."""

from __future__ import annotations

import os
import socket

import pytest

from corten.launch.attach import Client
from corten.launch.log_format import STDERR, STDOUT
from corten.launch.poller import Poller
from corten.launch.stdio import MAX_READ, Output, Stdio


class Log:
    def __init__(self):
        self.records = []

    def write(self, stream, data):
        self.records.append((stream, data))


@pytest.fixture
def pump():
    """A Stdio, its poller, log, what was detached, and the container's ends of the pipes."""

    class Pump:
        poller = Poller()
        log = Log()
        detached = []

    pump = Pump()
    pump.stdio = Stdio(
        pump.poller, pump.log, lambda client, why: pump.detached.append((client.handle, why)), True
    )
    out_read, pump.out = os.pipe()
    err_read, pump.err = os.pipe()
    pump.stdin, in_write = os.pipe()
    pump.stdio.add_output(out_read, STDOUT)
    pump.stdio.add_output(err_read, STDERR)
    pump.stdio.set_input(in_write)
    yield pump
    for fd in (pump.out, pump.err, pump.stdin):
        try:
            os.close(fd)
        except OSError:
            pass
    for client in pump.stdio.clients[:]:
        pump.stdio.drop(client, "exited")
    pump.stdio.drain()


def turn(pump, times=3):
    for _ in range(times):
        pump.poller.run_once(0)


def test_output_goes_to_the_log_and_to_each_client(pump):
    ends = [socket.socketpair() for _ in range(2)]
    for handle, (theirs, _ours) in enumerate(ends):
        pump.stdio.add_client(Client(theirs.detach(), 2 | 4 | 8, handle, b"", None))
    os.write(pump.out, b"hello")
    os.write(pump.err, b"oops")
    turn(pump)
    assert pump.log.records == [(STDOUT, b"hello"), (STDERR, b"oops")]
    for _theirs, ours in ends:
        assert ours.recv(100) == b"\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\4oops"
        ours.close()


def test_a_client_that_hangs_up_is_dropped(pump):
    theirs, ours = socket.socketpair()
    pump.stdio.add_client(Client(theirs.detach(), 2, 7, b"", None))
    ours.close()
    turn(pump)
    assert pump.detached == [(7, "closed")]
    os.write(pump.out, b"on")
    turn(pump)
    assert pump.log.records == [(STDOUT, b"on")]


def test_stdin_once_closes_after_everything_was_written(pump):
    theirs, ours = socket.socketpair()
    pump.stdio.add_client(Client(theirs.detach(), 1 | 2, 1, b"", None))
    ours.setblocking(False)
    data = b"x" * 150_000
    sent = got = 0
    for _ in range(200):
        if sent < len(data):
            try:
                sent += ours.send(data[sent:])
            except BlockingIOError:
                pass
            if sent == len(data):
                ours.shutdown(socket.SHUT_WR)
        turn(pump, 1)
        if sent == len(data) or _ > 20:
            chunk = os.read(pump.stdin, 20_000)
            got += len(chunk)
            if not chunk:
                break
    assert got == len(data)
    ours.close()


def test_reads_grow_in_a_flood_and_shrink_after_it():
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    output = Output(read_end, STDOUT)
    sizes = []
    for _ in range(6):
        os.write(write_end, b"x" * 65536)
        while output.read():
            pass
        sizes.append(output.size)
    assert sizes[-1] > 4096
    assert sizes[-1] <= MAX_READ
    for _ in range(12):
        os.write(write_end, b"x")
        output.read()
    assert output.size == 4096
    os.close(read_end)
    os.close(write_end)
