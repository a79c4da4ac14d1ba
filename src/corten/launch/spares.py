"""The engine's side of spares: monitors that the launcher has forked in advance, and that wait for a request.

The engine gives them their requests itself: a launcher in between would have to be woken first, on a machine
whose processors have better things to do at that moment.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Sequence
from socket import socket

from corten.launch import packets
from corten.linux.process import current_processor


class Spares:
    """Those of one launcher. `namespaces`: whether the launcher makes such as have new ones."""

    def __init__(self) -> None:
        self.namespaces = True
        self._ready: list[tuple[bool, socket]] = []

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, connection: socket, *, namespaces: bool) -> None:
        """One more, which is this object's from now on. Those that somebody has killed meanwhile are let go:
        the launcher makes others for them, and nobody may start anything for long."""
        ends = select.poll()
        for _has, known in self._ready:
            ends.register(known, 0)
        for fd, _event in ends.poll(0):
            position = next(at for at, (_has, known) in enumerate(self._ready) if known.fileno() == fd)
            self._ready.pop(position)[1].close()
        connection.setblocking(False)
        self._ready.append((namespaces, connection))

    def use(self, payload: bytes, fds: Sequence[int], *, namespaces: bool) -> bool:
        """Give a request to the oldest that suits, or to any; false when there is none that is alive."""
        while self._ready:
            suitable = (number for number, (has, _) in enumerate(self._ready) if has == namespaces)
            _has, connection = self._ready.pop(next(suitable, 0))
            with connection:
                try:
                    _lead_away(connection)
                    packets.send_packet(connection, payload, fds)
                    return True
                except OSError:
                    pass  # somebody has killed it
        return False

    def drop(self) -> None:
        """The launcher is gone, and its spares end with these connections."""
        self.namespaces = True
        while self._ready:
            self._ready.pop()[1].close()


def _lead_away(connection: socket) -> None:
    """Let a spare wake on a processor where this process, which has still to work out the plan, is not.

    With two processors the scheduler does not look for the idle one, and takes that on which the spare slept:
    5 % of a start's time were lost by waiting for this process. The spare goes back to all of its processors
    as the first thing it does.
    """
    try:
        message, _fds = packets.receive(connection)
    except OSError:
        return  # it is not ready yet: then it does not sleep either
    others = os.sched_getaffinity(0) - {current_processor()}
    if message is None or not others:
        return
    try:
        packets.receive(connection)
    except BlockingIOError:
        # It is alive, so that its number is no other process's.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(message[1], others)
    except OSError:
        pass
