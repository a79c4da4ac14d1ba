"""The engine's side of spares: who gets a request, and what becomes of those that were killed."""

from __future__ import annotations

import os
import socket

import pytest

from corten.launch import messages, packets
from corten.launch.spares import Spares


@pytest.fixture
def spares():
    made = Spares()
    yield made
    made.drop()


def spare(spares: Spares, *, namespaces: bool = True, ready: bool = True) -> socket.socket:
    """The spare's end of one that the launcher has just handed out."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spares.add(ours, namespaces=namespaces)
    if ready:
        packets.send(theirs, (messages.READY, os.getpid()))
        spares.ready(ours)
    theirs.setblocking(False)
    return theirs


@pytest.mark.parametrize("ready", [True, False])
def test_a_request_goes_to_the_oldest_that_suits(spares, ready, monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, processors: None)
    ends = [spare(spares, namespaces=kind, ready=ready) for kind in (True, False, False)]
    for expected in (1, 2, 0):  # none suits in the end, and any does
        assert spares.use(b"request", (), namespaces=False)
        assert ends[expected].recv(100) == b"request"
        assert ends[expected].recv(100) == b""
    assert not spares.use(b"request", (), namespaces=False)
    for end in ends:
        end.close()


def test_one_that_was_killed_gets_no_request(spares, monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, processors: None)
    dead, alive = spare(spares), spare(spares)
    dead.close()
    assert spares.use(b"request", (), namespaces=True)
    assert alive.recv(100) == b"request"
    alive.close()
    spare(spares).close()
    assert not spares.use(b"request", (), namespaces=True)


def test_killed_ones_do_not_pile_up(spares, monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, processors: None)
    before = len(os.listdir("/proc/self/fd"))
    for ready in (True, False) * 10:
        spare(spares, ready=ready).close()
    alive = spare(spares)
    assert len(spares) == 1
    assert spares.use(b"request", (), namespaces=True) and len(spares) == 0
    alive.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_wakes_where_the_engine_is_not(monkeypatch):
    led: list[set[int]] = []
    here = [0]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, processors: led.append(processors))
    monkeypatch.setattr("corten.launch.spares.current_processor", lambda: here[0])
    spares = Spares()
    ends = [spare(spares) for _ in range(2)]
    assert led == [{1, 2}, {1, 2}]
    assert spares.use(b"request", (), namespaces=True)
    assert len(led) == 2  # it was led away when nobody waited
    here[0] = 1
    assert spares.use(b"request", (), namespaces=True)
    assert led[2:] == [{0, 2}]
    ends.append(spare(spares))
    assert led[3:] == [{0, 2}]  # away from where the last request was made
    spares.drop()
    for end in ends:
        end.close()


def test_one_that_is_not_ready_is_forgotten_first():
    forgotten = []
    spares = Spares(lambda connection: forgotten.append(connection.fileno()))
    busy, idle = spare(spares, ready=False), spare(spares)
    assert spares.use(b"request", (), namespaces=True) and spares.use(b"request", (), namespaces=True)
    assert len(forgotten) == 1 and forgotten[0] >= 0
    busy.close()
    idle.close()
