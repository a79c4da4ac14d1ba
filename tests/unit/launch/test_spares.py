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
