"""The stdio of one container inside its monitor: its output to the log and the clients, their input to it."""

from __future__ import annotations

import fcntl
import os
import time

from corten.launch.messages import DETACHED_BY_KEYS, DETACHED_CLOSED
from corten.launch.poller import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.attach import Client
    from corten.launch.log_format import LogWriter
    from corten.launch.poller import Poller

MAX_READ = 1 << 20
FIRST_READ = 4096
PIPE_SIZE = 65536
# A flood of small writes: this many short reads, each this soon after the one before, then let them gather.
FLOOD_READS = 8
FLOOD_INTERVAL_NS = 300_000
FLOOD_PAUSE = 0.001


class Output:
    """One stream that the container writes: where it is read, and in pieces of what size."""

    __slots__ = ("_last_ns", "_paused", "_streak", "fd", "size", "stream")

    def __init__(self, fd: int, stream: int) -> None:
        self.fd = fd
        self.stream = stream
        self.size = FIRST_READ
        self._last_ns = 0
        self._streak = 0
        self._paused = False

    def read(self) -> bytes | None:
        """Up to `size` bytes; b"" at the end; None when there is nothing now."""
        try:
            data = os.read(self.fd, self.size)
        except BlockingIOError:
            return None
        except OSError:  # EIO: a terminal whose last user is gone
            return b""
        length = len(data)
        if length == self.size < MAX_READ:
            if length >= PIPE_SIZE:
                self._widen()
            self.size *= 2
        elif length < self.size >> 4 and self.size > FIRST_READ:
            self.size >>= 1
        return data

    def _widen(self) -> None:
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, MAX_READ)
        except OSError:
            pass  # a terminal, or an ordinary user's share of pipe memory is used up: 64 KiB will do

    def gather(self, length: int) -> None:
        """Sleep for a millisecond in a flood of small writes, so that one read takes hundreds of them.

        A dialogue (a short answer to each short question) is told from a flood by what came during the sleep.
        """
        now = time.monotonic_ns()
        if length >= FIRST_READ:
            self._paused = False
        elif self._paused or now - self._last_ns > FLOOD_INTERVAL_NS:
            self._streak = 0
            self._paused = False
        else:
            self._streak += 1
        if length < FIRST_READ and self._streak >= FLOOD_READS:
            time.sleep(FLOOD_PAUSE)
            self._paused = True
            now = time.monotonic_ns()
        self._last_ns = now


class Stdio:
    """Pumps between the container's descriptors, the log and any number of clients.

    A client that does not take its output stops the reading, and so, once the pipe is full, the container:
    memory is bounded and the log complete. `on_detached(client, reason)` is called when a client is dropped.
    """

    __slots__ = (
        "_held_up",
        "_input",
        "_input_ended",
        "_on_detached",
        "_outputs",
        "_poller",
        "_stdin_once",
        "_unwritten",
        "clients",
        "log",
    )

    def __init__(
        self,
        poller: Poller,
        log: LogWriter | None,
        on_detached: Callable[[Client, str], None],
        stdin_once: bool,
    ) -> None:
        self._poller = poller
        self.log = log
        self._on_detached = on_detached
        self._stdin_once = stdin_once
        self._outputs: list[Output] = []
        self.clients: list[Client] = []
        self._input = -1
        self._unwritten = b""
        self._input_ended = False
        self._held_up = False

    # -- what the container writes

    def add_output(self, fd: int, stream: int) -> None:
        """Read `fd` from now on; it is this object's."""
        os.set_blocking(fd, False)
        self._outputs.append(Output(fd, stream))
        self._watch_outputs()

    def set_input(self, fd: int) -> None:
        """What clients type goes to `fd`; it is this object's."""
        os.set_blocking(fd, False)
        self._input = fd
        for client in self.clients:
            self._watch_client(client)

    def _watch_outputs(self) -> None:
        for output in self._outputs:
            if self._held_up:
                self._poller.forget(output.fd)
            else:
                self._poller.watch(
                    output.fd,
                    POLLIN,
                    lambda _events, output=output: self._on_output(output),  # type: ignore[misc]
                )

    def _on_output(self, output: Output) -> None:
        data = output.read()
        if data:
            self._deliver(output.stream, data)
            output.gather(len(data))
        elif data is not None:
            self._end_output(output)

    def _end_output(self, output: Output) -> None:
        self._poller.forget(output.fd)
        os.close(output.fd)
        self._outputs.remove(output)

    def _deliver(self, stream: int, data: bytes) -> None:
        if self.log is not None:
            self.log.write(stream, data)
        for client in self.clients[:]:
            try:
                client.send(stream, data)
            except OSError:
                self.drop(client, DETACHED_CLOSED)
                continue
            if client.pending:
                self._watch_client(client)
                if not self._held_up:
                    self._held_up = True
                    self._watch_outputs()

    def drain(self) -> None:
        """Take what is in the pipes after the process has ended, and close them.

        Another process may hold the other end (one that an exec left behind, or a shared pid namespace) and
        go on writing: no more than fits into a pipe can have come from the one that ended.
        """
        for output in self._outputs[:]:
            output.size = max(output.size, PIPE_SIZE)
            left = MAX_READ + PIPE_SIZE
            while left > 0:
                data = output.read()
                if not data:
                    break
                left -= len(data)
                self._deliver(output.stream, data)
            self._end_output(output)
        self._close_input()

    # -- clients

    def add_client(self, client: Client) -> None:
        self.clients.append(client)
        self._watch_client(client)

    def drop(self, client: Client, reason: str) -> None:
        """Close the client's socket and tell."""
        if client not in self.clients:
            return
        self.clients.remove(client)
        self._poller.forget(client.fd)
        os.close(client.fd)
        if client.input_open and reason == DETACHED_CLOSED:
            client.input_open = False
            self._end_input()
        self._on_detached(client, reason)
        self._resume()

    def _resume(self) -> None:
        if self._held_up and not any(client.pending for client in self.clients):
            self._held_up = False
            self._watch_outputs()

    def _watch_client(self, client: Client) -> None:
        mask = POLLOUT if client.pending else 0
        if client.input_open and self._input >= 0 and not self._unwritten:
            mask |= POLLIN | POLLRDHUP
        self._poller.watch(client.fd, mask, lambda events: self._on_client(client, events))

    def _on_client(self, client: Client, events: int) -> None:
        try:
            if events & POLLOUT and client.pending and client.flush():
                self._watch_client(client)
                self._resume()
            if events & (POLLIN | POLLRDHUP) and client.input_open:
                self._on_input(client)
            elif events & (POLLERR | POLLHUP):
                self.drop(client, DETACHED_CLOSED)
        except OSError:
            self.drop(client, DETACHED_CLOSED)

    def _on_input(self, client: Client) -> None:
        data, ended, detached = client.read()
        if data and self._input >= 0:
            self._write_input(data)
        if detached:
            self.drop(client, DETACHED_BY_KEYS)
        elif ended:
            client.input_open = False
            self._watch_client(client)
            self._end_input()

    # -- what the container reads

    def _write_input(self, data: bytes) -> None:
        try:
            written = os.write(self._input, data)
        except BlockingIOError:
            written = 0
        except OSError:  # the container closed its stdin: input for it goes nowhere, as in a shell's pipe
            self._close_input()
            return
        self._unwritten = data[written:]
        if self._unwritten:
            self._poller.watch(self._input, POLLOUT, self._on_input_room)
            self._watch_clients()

    def _on_input_room(self, events: int) -> None:
        self._poller.forget(self._input)
        self._write_input(self._unwritten)
        if not self._unwritten:
            self._watch_clients()
            if self._input_ended:
                self._close_input()

    def _watch_clients(self) -> None:
        for client in self.clients:
            self._watch_client(client)

    def _end_input(self) -> None:
        """A client has ended its input: Docker's StdinOnce closes the container's, once all was written."""
        if self._stdin_once:
            self._input_ended = True
            if not self._unwritten:
                self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            self._poller.forget(self._input)
            os.close(self._input)
            self._input = -1
            self._unwritten = b""
