"""One monitor, as the engine sees it: a control connection, and futures for what it will say."""

from __future__ import annotations

import asyncio
import os
import signal as signals
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from corten import errors
from corten.errors import Conflict, CortenError, InvalidArgument, StartError, Unavailable
from corten.launch import messages, packets
from corten.launch.exit_status import SOCKET_FILE, ExitStatus

if TYPE_CHECKING:
    from corten.runtime.operations import Plan

DEFAULT_DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q
DetachReason = Literal["keys", "closed", "exited"]


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is attached from the first byte on (docker attaches before it starts).

    `fd`: the client's own (stream) socket, already past its HTTP 101 headers. `mux`: Docker's 8-byte frame
    headers; pass False for a container with a terminal. The monitor gets a duplicate: close yours after
    `Launcher.launch` (or `Monitor.attach`) has returned.
    """

    fd: int
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    mux: bool = True
    detach_keys: bytes = DEFAULT_DETACH_KEYS

    def flags(self) -> int:
        """As messages.ATTACH_*."""
        return (
            (messages.ATTACH_STDIN if self.stdin else 0)
            | (messages.ATTACH_STDOUT if self.stdout else 0)
            | (messages.ATTACH_STDERR if self.stderr else 0)
            | (messages.ATTACH_MUX if self.mux else 0)
        )


class AttachHandle:
    """A client that is attached; the monitor serves it."""

    def __init__(self, monitor: Monitor, number: int, ended: asyncio.Future[DetachReason]) -> None:
        self._monitor = monitor
        self._number = number
        self._ended = ended

    async def wait(self) -> DetachReason:
        """Wait until it is attached no more: by its detach keys, because it went away, or at the exit."""
        return await asyncio.shield(self._ended)

    def detach(self) -> None:
        """Drop the client now."""
        if not self._ended.done():
            self._monitor.send((messages.DETACH, self._number))


class Monitor:
    """One per running container or exec. Lose it and nothing happens: `connect` again.

    Methods raise `Unavailable` once the monitor is gone without having said why (it was killed, and its
    container with it).
    """

    def __init__(self, sock: socket.socket, container_id: str, hold: bool, attachments: int = 0) -> None:
        self.container_id = container_id
        self.pid = 0
        self.pidfd = -1
        self.started_at_ns = 0
        self._hold = hold
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._created: asyncio.Future[int] = self._loop.create_future()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._exited: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._replies: dict[int, asyncio.Future[list[int]]] = {}
        self._clients: dict[int, asyncio.Future[DetachReason]] = {}
        self._serial = attachments
        self.attachments = tuple(self._handle(number) for number in range(attachments))
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @classmethod
    async def connect(cls, run_dir: Path) -> Monitor:
        """Reach the monitor of `run_dir` after an engine restart; Unavailable if there is none any more.

        `started_at_ns` is 0 when the container still holds: `start()` it, or kill it.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # sun_path holds 107 bytes; the real path may well have more.
                sock.connect(f"/proc/self/fd/{directory}/{SOCKET_FILE}")
            finally:
                os.close(directory)
        except OSError as error:
            sock.close()
            raise Unavailable(f"no monitor listens in {run_dir}: {error.strerror}") from error
        monitor = cls(sock, "", hold=True)
        try:
            await asyncio.shield(monitor._created)
        except StartError:
            pass  # the monitor is about to end: `wait` says how
        except Unavailable:
            if not monitor._exited.done() or monitor._exited.exception():
                monitor.close()
                raise
        return monitor

    # -- what the monitor says

    def ended(self) -> ExitStatus | None:
        """How it has ended, if it has said so: also what the event loop has not read yet.

        The monitor tells of an end before it lets go of the clients, who may ask at once.
        """
        if self._socket.fileno() >= 0:
            self._on_readable()
        return self._exited.result() if _succeeded(self._exited) else None

    def _on_readable(self) -> None:
        while True:
            try:
                message, fds = packets.receive(self._socket)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It ended with something of ours unread; what it said before is queued behind this error.
                continue
            except OSError:
                message, fds = None, []
            if message is None:
                self._end()
                return
            for fd in self._take(message, fds):
                os.close(fd)

    def _take(self, message: tuple[Any, ...], fds: list[int]) -> list[int]:
        """Note what `message` says; the descriptors that were not kept."""
        kind = message[0]
        if kind == messages.CREATED or kind == messages.HELLO:
            if kind == messages.HELLO:
                self.container_id, self.pid, self.started_at_ns = message[1]
                if self.started_at_ns:
                    _resolve(self._started, None)
            else:
                self.pid = message[1]
            if fds and self.pidfd < 0:
                self.pidfd = fds.pop(0)
            _resolve(self._created, self.pid)
        elif kind == messages.STARTED:
            _kind, self.started_at_ns, self.pid = message
            if fds and self.pidfd < 0:
                self.pidfd = fds.pop(0)
            _resolve(self._created, self.pid)
            _resolve(self._started, None)
        elif kind == messages.EXITED:
            _kind, code, signal, oom_killed, finished_at_ns, error = message
            status = ExitStatus(
                code=code, signal=signal, oom_killed=oom_killed, finished_at_ns=finished_at_ns, error=error
            )
            _resolve(self._exited, status)
        elif kind == messages.FAILED:
            self._fail(_error(message[1], message[2]))
        elif kind == messages.DETACHED:
            future = self._clients.pop(message[1], None)
            if future is not None:
                _resolve(future, message[2])
        elif kind == messages.REPLY:
            reply = self._replies.pop(message[1], None)
            if reply is not None and not reply.done():
                if message[2]:
                    reply.set_exception(InvalidArgument(message[2]))
                else:
                    reply.set_result(fds)
                    return []
        return fds

    def _fail(self, error: CortenError) -> None:
        waited_for: tuple[asyncio.Future[Any], ...] = (self._created, self._started, self._exited)
        for future in (*waited_for, *self._replies.values()):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits is told; nobody has to
        self._replies.clear()

    def _end(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        name = self.container_id[:12] or "the container"
        self._fail(Unavailable(f"the monitor of {name} is gone"))
        for future in self._clients.values():
            _resolve(future, "exited" if _succeeded(self._exited) else "closed")
        self._clients.clear()
        _resolve(self._gone, None)

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call `callback` (from the event loop) once the monitor is gone."""
        self._gone.add_done_callback(lambda _future: callback())

    # -- what the engine wants

    def give(self, plan: Plan) -> None:
        """Tell what to make, after a launch without a plan."""
        try:
            packets.send(self._socket, (messages.PLAN, plan.to_primitive()))
        except OSError:
            pass  # what it said before it ended is still to be read

    async def withdraw(self) -> None:
        """There will be no plan: wait until what was prepared is given up."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already
        await self.gone()

    async def created(self) -> int:
        """Wait until PID 1 exists (and holds): its pid on the host. Raises StartError and its subclasses."""
        return await asyncio.shield(self._created)

    async def start(self) -> None:
        """Release the hold, if there is one; returns when exec has happened, raises StartError etc."""
        if self._hold and not self._started.done():
            self._hold = False
            try:
                self.send((messages.START,))
            except Unavailable:
                pass  # what it said before it ended is still to be read
        await asyncio.shield(self._started)

    async def wait(self) -> ExitStatus:
        """Wait for the end. All output is in the log by then. May be called by several tasks, and again."""
        return await asyncio.shield(self._exited)

    async def gone(self) -> None:
        """Wait until the monitor has ended: its cgroup is removed, its run directory is free."""
        await asyncio.shield(self._gone)

    async def attach(
        self,
        fd: int,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        detach_keys: bytes = DEFAULT_DETACH_KEYS,
        mux: bool = True,
    ) -> AttachHandle:
        """Hand a client's socket to the monitor, which speaks Docker's raw stream on it from now on."""
        client = Attachment(
            fd=fd, stdin=stdin, stdout=stdout, stderr=stderr, mux=mux, detach_keys=detach_keys
        )
        self._serial += 1
        handle = self._handle(self._serial)
        try:
            await self._send_soon((messages.ATTACH, self._serial, client.flags(), detach_keys), (fd,))
        except BaseException:
            self._clients.pop(self._serial, None)
            raise
        return handle

    def _handle(self, number: int) -> AttachHandle:
        future: asyncio.Future[DetachReason] = self._loop.create_future()
        self._clients[number] = future
        return AttachHandle(self, number, future)

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; InvalidArgument if there is no terminal."""
        if not (0 <= rows < 65536 and 0 <= columns < 65536):
            raise InvalidArgument(
                f"a terminal of {rows} rows and {columns} columns cannot be: each is 0 to 65535"
            )
        await self._ask(messages.RESIZE, rows, columns)

    async def kill(self, signal: int) -> None:
        """Signal PID 1 (not its children); Conflict if it has ended."""
        await self.created()
        if self.pidfd < 0 or self._exited.done():
            raise Conflict(f"container {self.container_id[:12]} is not running")
        try:
            signals.pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            raise Conflict(f"container {self.container_id[:12]} is not running") from None
        except OSError as error:
            raise InvalidArgument(f"cannot send signal {signal}: {error.strerror}") from error

    async def rotate_log(self) -> None:
        """Rotate the log now, or open it anew if somebody moved it."""
        await self._ask(messages.REOPEN)

    async def take_console(self) -> int:
        """The terminal's master as a new fd of the caller's (stdio "fds" with `tty`)."""
        return (await self._ask(messages.TAKE_CONSOLE))[0]

    def close(self) -> None:
        """Forget the monitor (it goes on): closes the control connection and the pidfd."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self._socket.fileno() >= 0:
            self._end()

    async def _ask(self, kind: int, *arguments: int) -> list[int]:
        self._serial += 1
        reply: asyncio.Future[list[int]] = self._loop.create_future()
        self._replies[self._serial] = reply
        try:
            await self._send_soon((kind, self._serial, *arguments))
        except BaseException:
            self._replies.pop(self._serial, None)
            raise
        return await reply

    def send(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        """Send; raises BlockingIOError when the monitor is very far behind."""
        try:
            packets.send(self._socket, message, fds)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Unavailable(f"the monitor of {self.container_id[:12]} is gone") from error

    async def _send_soon(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        while True:
            try:
                self.send(message, fds)
                return
            except BlockingIOError:  # it is busy making the container: rare, so a nap will do
                await asyncio.sleep(0.01)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _succeeded(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _error(name: str, message: str) -> CortenError:
    kind = getattr(errors, name, StartError)
    return kind(message) if isinstance(kind, type) and issubclass(kind, CortenError) else StartError(message)
