"""Waits of a command in the foreground: signals are handled while it waits."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from corten.cli import streams
from corten.cli.terminal import ALARM


@pytest.fixture
def received() -> Iterator[list[int]]:
    """The signals that this process gets: SIGUSR1 is handled."""
    found: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: found.append(number))
    yield found
    signal.signal(signal.SIGUSR1, before)


def is_readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def test_a_signal_that_came_before_the_wait_ends_it(received: list[int]) -> None:
    fd = ALARM.fd
    os.kill(os.getpid(), signal.SIGUSR1)
    assert received == [signal.SIGUSR1]
    assert is_readable(fd)
    ALARM.clear()
    assert not is_readable(fd)


def test_an_answer_is_waited_for_through_signals(received: list[int]) -> None:
    ours, theirs = socket.socketpair()
    answer: Any = SimpleNamespace(fileno=ours.fileno, ready=lambda _seconds: is_readable(ours.fileno()))

    def act() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        while not received:
            pass
        theirs.sendall(b"answer")

    with ours, theirs:
        threading.Timer(0.1, act).start()
        streams.wait_for(answer)
    assert received == [signal.SIGUSR1]
