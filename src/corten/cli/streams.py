"""Copies between the terminal (or pipes) and a container, until the container has said everything."""

from __future__ import annotations

import os
import select

from corten.cli.terminal import ALARM
from corten.client.muxstream import STDERR, Demultiplexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.handover import Handover
    from corten.client.transport import Hijacked, Response

_SIZE = 1 << 16
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
_DRAIN_MILLISECONDS = 200


def write_all(fd: int, data: bytes) -> None:
    """Writes everything, also to a terminal that somebody set non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()


class KeySequence:
    """Finds the detach keys in what is typed. The server acts on them; here it tells a detach from an end."""

    def __init__(self, text: str) -> None:
        self._keys = parse_keys(text)
        self._tail = b""
        self.seen = False

    def feed(self, data: bytes) -> None:
        """Looks at what is typed, across reads."""
        if self._keys:
            self._tail += data
            self.seen = self.seen or self._keys in self._tail
            self._tail = self._tail[-len(self._keys) :]


def parse_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as the bytes that a terminal sends; empty when a key is unknown (the engine
    complains)."""
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            keys += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and 0 <= ord(key[5].upper()) - 64 < 32:
            keys.append(ord(key[5].upper()) - 64)
        else:
            return b""
    return bytes(keys)


def copy_hijacked(
    stream: Hijacked, *, tty: bool, stdin: bool, stdout: bool = True, stderr: bool = True, keys: KeySequence
) -> bool:
    """Copies until the engine ends the stream; returns whether that was a detach."""
    demultiplexer = None if tty else Demultiplexer()

    def put(data: bytes) -> None:
        if demultiplexer is None:
            write_all(1, data)
            return
        for source, piece in demultiplexer.feed(data):
            if (stderr if source == STDERR else stdout) and piece:
                write_all(2 if source == STDERR else 1, piece)

    if stream.data:
        put(stream.data)
    connection = stream.socket
    poller = select.poll()
    poller.register(connection.fileno(), _READABLE)
    poller.register(ALARM.fd, _READABLE)
    if stdin:
        _watch_stdin(poller)
    else:
        stream.close_input()
    while True:
        for fd, _event in poller.poll():
            if fd == 0:
                data = os.read(0, _SIZE)
                keys.feed(data)
                try:
                    if data:
                        connection.sendall(data)
                except (BrokenPipeError, ConnectionResetError):
                    data = b""
                if not data:
                    poller.unregister(0)
                    stream.close_input()
                continue
            if fd == ALARM.fd:
                ALARM.clear()
                continue
            try:
                data = connection.recv(_SIZE)
            except ConnectionResetError:
                data = b""
            if not data:
                return keys.seen
            put(data)


def _watch_stdin(poller: select.poll) -> None:
    try:
        os.fstat(0)
        poller.register(0, _READABLE)
    except OSError:
        pass  # the caller has closed stdin


def copy_handover(handover: Handover, answer: Response) -> None:
    """Copies between pipes and the terminal until `answer` comes and the pipes are empty."""
    targets = dict(handover.sources)
    poller = select.poll()
    poller.register(ALARM.fd, _READABLE)
    for reader in targets:
        poller.register(reader, _READABLE)
    if handover.input >= 0:
        _watch_stdin(poller)
    answer_fd = answer.fileno()
    ended = answer_fd < 0
    if not ended:
        poller.register(answer_fd, _READABLE)
    # A process that outlives the container (none should) would keep a pipe open: then a silence ends it.
    while targets or not ended:
        events = poller.poll(_DRAIN_MILLISECONDS if ended else None)
        if not events:
            break
        for fd, _event in events:
            if fd == answer_fd:
                ended = True
                poller.unregister(fd)
            elif fd in targets:
                data = os.read(fd, _SIZE)
                if data:
                    write_all(targets[fd], data)
                else:
                    poller.unregister(fd)
                    del targets[fd]
            elif fd == 0:
                _forward_stdin(handover, poller)
            else:
                ALARM.clear()


def wait_for(answer: Response) -> None:
    """Until something of `answer` is there; signals are handled meanwhile."""
    poller = select.poll()
    poller.register(ALARM.fd, _READABLE)
    poller.register(answer.fileno(), _READABLE)
    while not answer.ready(0):
        poller.poll()
        ALARM.clear()


def _forward_stdin(handover: Handover, poller: select.poll) -> None:
    data = os.read(0, _SIZE)
    try:
        if data and handover.input >= 0:
            write_all(handover.input, data)
    except BrokenPipeError:
        data = b""
    if not data:
        poller.unregister(0)
        os.close(handover.input)
        handover.input = -1
