"""The engine's side of spares: monitors that the launcher has forked in advance, and that wait for a request.

The engine gives them their requests itself: a launcher in between would have to be woken first, on a machine
whose processors have better things to do at that moment.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from socket import socket

from corten.launch import packets
from corten.linux.process import current_processor


class _Spare:
    """`pid`: of the process that the request wakes; 0 until it is ready, and does not sleep. `processors`:
    on which it wakes."""

    __slots__ = ("connection", "namespaces", "pid", "processors")

    def __init__(self, connection: socket, namespaces: bool) -> None:
        self.connection = connection
        self.namespaces = namespaces
        self.pid = 0
        self.processors: set[int] = set()

    def lead_away(self, here: int) -> None:
        """Let it wake on a processor where this process, which has still to work out the plan, is not.

        With two processors the scheduler does not look for the idle one, and takes that on which the spare
        slept: 5 % of a start's time were lost by waiting for this process. The spare goes back to all of its
        processors as the first thing it does.
        """
        others = os.sched_getaffinity(0) - {here}
        if not others:
            return
        try:
            packets.receive(self.connection)
        except BlockingIOError:
            # It is alive, so that its number is no other process's.
            try:
                os.sched_setaffinity(self.pid, others)
                self.processors = others
            except OSError:
                pass
        except OSError:
            pass


class Spares:
    """Those of one launcher. `namespaces`: whether the launcher makes such as have new ones.

    `forget` is called with the connection of one that goes before it was ready: see `ready`.
    """

    def __init__(self, forget: Callable[[socket], object] = lambda connection: None) -> None:
        self.namespaces = True
        self._forget = forget
        self._spares: list[_Spare] = []
        self._here = current_processor()

    def __len__(self) -> int:
        return len(self._spares)

    def add(self, connection: socket, *, namespaces: bool) -> None:
        """One more, which is this object's from now on. Those that somebody has killed meanwhile are let go:
        the launcher makes others for them, and nobody may start anything for long."""
        ends = select.poll()
        for spare in self._spares:
            ends.register(spare.connection, 0)
        ended = {fd for fd, _event in ends.poll(0)}
        for spare in [spare for spare in self._spares if spare.connection.fileno() in ended]:
            self._spares.remove(spare)
            self._take(spare).close()
        connection.setblocking(False)
        self._spares.append(_Spare(connection, namespaces))

    def ready(self, connection: socket) -> None:
        """To be called when `connection` can be read for the first time: the spare is ready, or has ended.

        Where it wakes is settled now, when nobody waits.
        """
        spare = next((spare for spare in self._spares if spare.connection is connection), None)
        if spare is None:
            return
        try:
            message, _fds = packets.receive(connection)
        except OSError:
            return
        if message is not None:
            spare.pid = message[1]
            spare.lead_away(self._here)

    def use(self, payload: bytes, fds: Sequence[int], *, namespaces: bool) -> bool:
        """Give a request to the oldest that suits, or to any; false when there is none that is alive."""
        while self._spares:
            suitable = (at for at, spare in enumerate(self._spares) if spare.namespaces == namespaces)
            spare = self._spares.pop(next(suitable, 0))
            with self._take(spare) as connection:
                try:
                    self._here = current_processor()
                    if spare.pid and (not spare.processors or self._here in spare.processors):
                        spare.lead_away(self._here)
                    packets.send_packet(connection, payload, fds)
                    return True
                except OSError:
                    pass  # somebody has killed it
        return False

    def drop(self) -> None:
        """The launcher is gone, and its spares end with these connections."""
        self.namespaces = True
        while self._spares:
            self._take(self._spares.pop()).close()

    def _take(self, spare: _Spare) -> socket:
        if not spare.pid:
            self._forget(spare.connection)
        return spare.connection
