"""The monitor: parent of one container's PID 1 (or of an exec), owner of its stdio, log and exit status.

Forked from the launcher, it outlives both the launcher and the engine. One poll() loop, no threads. If it is
killed, the kernel kills its PID 1 (PDEATHSIG, set by `runtime.execute`): no container runs unwatched.
While its container idles it should have touched as little memory as can be: what it takes to make the
container is done by the `starter`, and what the end takes is not touched before.

At the end, in this order: all output is in the log; exit.json is there; the engine is told; clients get the
rest of their output and are closed; the cgroup is removed; the mounts are taken down; the control connections
close. Whoever wants to use the container's cgroup, run directory or layer again waits for that last step.
"""

from __future__ import annotations

import fcntl
import os
import time
from _socket import socket

from corten.launch import messages, packets
from corten.launch.attach import Client
from corten.launch.control import Control
from corten.launch.log_format import STDERR, STDOUT, LogWriter
from corten.launch.poller import POLLIN, Poller
from corten.launch.state_files import write_exit
from corten.launch.stdio import Stdio
from corten.runtime.cgroup.apply import oom_kills
from corten.runtime.operations import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.starter import Executor

UNMOUNT_DELAY = 0.2  # seconds, from the end of a container to that of its mounts
CGROUP_DELAY = 0.001  # seconds: who was just woken, most often for this processor, goes first
CLIENT_PATIENCE_MS = 10_000  # how long a client may take nothing of the last output before it is dropped


class Monitor:
    """One container.

    `starter`, `starter_pid`: the socket to the process that makes the container, and its pid.
    """

    __slots__ = (
        "_bound",
        "_cleanup",
        "_connections",
        "_executor",
        "_exit",
        "_fds",
        "_id",
        "_pid",
        "_poller",
        "_started_ns",
        "_starter",
        "_starter_pid",
        "_stdio",
        "console",
    )

    def __init__(self, starter: socket, starter_pid: int, executor: Executor) -> None:
        self._poller = Poller()
        self._starter = starter
        self._starter_pid = starter_pid
        self._executor = executor
        self._connections: list[Control] = []
        self._exit: tuple[Any, ...] | None = None
        self._pid = 0
        self._started_ns = 0
        self.console = -1

    # -- the start

    def take_over(self) -> bool:
        """Wait for what the starter has made, and take it; false if there is nothing to serve."""
        message, fds = packets.receive_all(self._starter)
        if message is None or message[0] != messages.RUNNING:
            return False  # the starter has told why; if it was killed, the end of the control socket tells
        _kind, state, names, self._cleanup = message
        self._fds = own = dict(zip(names, fds, strict=False))
        origin = Control(packets.connection(own.pop("control")), self._poller, self)
        self._connections.append(origin)
        self._id, log_path, max_size, max_file, is_served, has_input, stdin_once, clients, self._bound = state
        log = LogWriter(log_path, max_size, max_file, fd=own.pop("log")) if log_path else None
        self._stdio = Stdio(self._poller, log, self._on_detached, stdin_once)
        if "stdout" in own:
            self._stdio.add_output(own.pop("stdout"), STDOUT)
            self._stdio.add_output(own.pop("stderr"), STDERR)
        if "stdin" in own:
            self._stdio.set_input(own.pop("stdin"))
        for fd, (handle, flags, keys) in zip(fds[len(names) :], clients, strict=True):
            self.attach(Client(fd, flags, handle, keys, origin))
        if "listener" in own:
            self._poller.watch(own["listener"], POLLIN, self._on_connection)
        self._poller.watch(self._starter.fileno(), POLLIN, self._on_starter)
        return self._await_process(is_served, has_input)

    def _await_process(self, is_served: bool, has_input: bool) -> bool:
        """Wait until the process exists; false if there will be none."""
        message, fds = packets.receive(self._starter)
        if message is not None and message[0] == messages.MOUNTS:
            # Held, so that the container's end is told of before its mounts are taken down: that waits for
            # RCU, and syncs the file system that the writable layer is on: 1 ms, or the disk's time.
            self._fds["mounts"] = fds[0]
            message, fds = packets.receive(self._starter)
        if message is None or message[0] == messages.FAILED:
            # If the starter was killed: let the engine know, it kills the cgroup.
            self._connections[0].close()
            return False
        own = self._fds
        own["pidfd"] = fds[0]
        if len(fds) > 1:
            own["console"] = fds[1]
            self._own_console(fds[1], is_served=is_served, has_input=has_input)
        self._pid = message[-1]
        if message[0] == messages.STARTED:
            self._started_ns = message[1]
            self._poller.watch(own["pidfd"], POLLIN, self._on_exit)
        return True

    def _own_console(self, master: int, is_served: bool, has_input: bool) -> None:
        self.console = master
        if is_served:
            # Duplicates: input and output are watched, and closed, apart from each other.
            self._stdio.add_output(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3), STDOUT)
            if has_input:
                self._stdio.set_input(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3))

    def release(self) -> None:
        """Let a container that holds go on to its exec."""
        fd = self._fds.pop("release", -1)
        if fd >= 0:
            os.write(fd, b"1")
            os.close(fd)

    def _on_starter(self, _events: int) -> None:
        """The starter is done: there was no hold, or it has ended (the command runs, or could not)."""
        message, _fds = packets.receive(self._starter)
        self._poller.forget(self._starter.fileno())
        self._starter.close()
        os.waitpid(self._starter_pid, 0)
        if self._started_ns:
            return
        if message is not None and message[0] == messages.STARTED:
            self._started_ns = message[1]
            self._poller.watch(self._fds["pidfd"], POLLIN, self._on_exit)
        elif message is None:
            # It was killed, so nobody will tell whether the container's process got to its command: end it.
            self._poller.watch(self._fds["pidfd"], POLLIN, self._on_exit)
            os.kill(self._pid, 9)
            return
        else:
            self._exit = message
        self.tell(message)

    # -- the engine

    def _on_connection(self, _events: int) -> None:
        listener = socket(fileno=os.dup(self._fds["listener"]))
        try:
            fd, _address = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        finally:
            listener.close()
        control = Control(packets.connection(fd), self._poller, self)
        self._connections.append(control)
        state = (self._id, self._pid, self._started_ns)
        control.send((messages.HELLO, state), (self._fds["pidfd"],))

    def disconnected(self, control: Control) -> None:
        """An engine is gone; the container does not notice, unless it is bound to it."""
        self._connections.remove(control)
        if self._bound and not self._connections and self._exit is None and self._pid > 0:
            os.kill(self._pid, 9)

    def tell(self, message: tuple[Any, ...]) -> None:
        """Send to every engine that is connected."""
        for control in self._connections[:]:
            control.send(message)

    def attach(self, client: Client) -> None:
        """Serve `client` from now on."""
        self._stdio.add_client(client)

    def detach(self, origin: Control, handle: int) -> None:
        """Drop the client that `origin` calls `handle`."""
        for client in self._stdio.clients:
            if client.origin is origin and client.handle == handle:
                self._stdio.drop(client, messages.DETACHED_CLOSED)
                return

    def _on_detached(self, client: Client, reason: str) -> None:
        if client.origin in self._connections:
            client.origin.send((messages.DETACHED, client.handle, reason))

    def rotate_log(self) -> None:
        """Begin a new log file."""
        if self._stdio.log is not None:
            self._stdio.log.rotate()

    # -- the end

    def _on_exit(self, _events: int) -> None:
        self._stdio.drain()
        _pid, status = os.waitpid(self._pid, 0)
        self._poller.forget(self._fds["pidfd"])
        if os.WIFSIGNALED(status):
            signal = os.WTERMSIG(status)
            code = 128 + signal
        else:
            signal, code = 0, os.WEXITSTATUS(status)
        cgroup, joins = self._cleanup
        oom_killed = cgroup is not None and not joins and oom_kills(cgroup) > 0
        self._exit = (messages.EXITED, code, signal, oom_killed, time.time_ns(), "")
        if self._bound:
            # Nobody else will ask; and what was written is used as soon as the end is known.
            if "mounts" in self._fds:
                os.close(self._fds.pop("mounts"))
        elif "directory" in self._fds:
            write_exit(self._fds["directory"], self._exit)
        self.tell(self._exit)

    def run(self) -> None:
        """Serve until the container has ended and everybody has been told."""
        poller = self._poller
        while self._exit is None:
            poller.run_once()
        stdio = self._stdio
        self._close_clients(only_done=True)
        cgroup, joins = self._cleanup
        if cgroup is not None:
            if not joins:
                time.sleep(CGROUP_DELAY)
            self._executor.cleanup(Plan({"cgroup": cgroup, "joins": joins}, (), ()))
        while stdio.clients and poller.run_once(CLIENT_PATIENCE_MS):
            self._close_clients(only_done=True)
        self._close_clients(only_done=False)
        if "mounts" in self._fds:
            # Syncing the disk must not get in the way of those who were waiting for the end.
            time.sleep(UNMOUNT_DELAY)
            os.close(self._fds.pop("mounts"))

    def close(self) -> None:
        """Close what it still has open; a monitor's process just ends instead."""
        for control in self._connections[:]:
            control.close()
        for fd in self._fds.values():
            os.close(fd)
        if self._stdio.log is not None:
            self._stdio.log.close()

    def _close_clients(self, only_done: bool) -> None:
        for client in self._stdio.clients[:]:
            if not (only_done and client.pending):
                self._stdio.drop(client, messages.DETACHED_EXITED)
