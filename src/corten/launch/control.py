"""A control connection inside a monitor: what an engine asks, and the answers."""

from __future__ import annotations

import os
import termios
from _socket import MSG_DONTWAIT

from corten.launch import messages, packets
from corten.launch.attach import Client
from corten.launch.poller import POLLIN, POLLOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from corten.launch.monitor import Monitor
    from corten.launch.poller import Poller


class Control:
    """Reads requests and carries them out on its `monitor`; never blocks on an engine that does not read."""

    __slots__ = ("_monitor", "_poller", "_queue", "_socket")

    def __init__(self, sock: socket, poller: Poller, monitor: Monitor) -> None:
        self._socket = sock
        self._poller = poller
        self._monitor = monitor
        self._queue: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []
        poller.watch(sock.fileno(), POLLIN, self._on_ready)

    def send(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        """Send, or queue when the engine is behind."""
        if not self._queue:
            try:
                packets.send(self._socket, message, fds, MSG_DONTWAIT)
                return
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        self._queue.append((message, tuple(os.dup(fd) for fd in fds)))
        self._poller.watch(self._socket.fileno(), POLLIN | POLLOUT, self._on_ready)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        self._poller.watch(self._socket.fileno(), POLLIN, self._on_ready)
        for message, fds in queue:
            self.send(message, fds)
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """The engine is gone, or no longer wanted."""
        if self._socket.fileno() < 0:
            return
        self._poller.forget(self._socket.fileno())
        self._socket.close()
        self._monitor.disconnected(self)

    def _on_ready(self, events: int) -> None:
        if events & POLLOUT and self._queue:
            self._flush()
        if not events & ~POLLOUT:
            return
        try:
            message, fds = packets.receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            message, fds = None, []
        if message is None:
            self.close()
            return
        left = self._handle(message, fds)
        for fd in left:
            os.close(fd)

    def _handle(self, message: tuple[Any, ...], fds: list[int]) -> list[int]:
        """Carry out `message`; the descriptors that it did not take."""
        kind = message[0]
        monitor = self._monitor
        if kind == messages.START:
            monitor.release()
        elif kind == messages.ATTACH and fds:
            _kind, handle, flags, keys = message
            monitor.attach(Client(fds[0], flags, handle, keys, self))
            return fds[1:]
        elif kind == messages.DETACH:
            monitor.detach(self, message[1])
        elif kind == messages.RESIZE:
            self._answer(message[1], self._resize, message[2], message[3])
        elif kind == messages.REOPEN:
            self._answer(message[1], monitor.rotate_log)
        elif kind == messages.TAKE_CONSOLE:
            if monitor.console < 0:
                self.send((messages.REPLY, message[1], "the container has no terminal"))
            else:
                self.send((messages.REPLY, message[1], ""), (monitor.console,))
        return fds

    def _answer(self, serial: int, action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self.send((messages.REPLY, serial, str(error)))
        else:
            self.send((messages.REPLY, serial, ""))

    def _resize(self, rows: int, columns: int) -> None:
        if self._monitor.console < 0:
            raise OSError("the container has no terminal")
        termios.tcsetwinsize(self._monitor.console, (rows, columns))
