"""The launcher: a warm, single-threaded process that forks monitors for the engine, and does nothing else.

Started by `client.Launcher` as a bare interpreter with an inherited SOCK_SEQPACKET socket. It imports what a
monitor needs, freezes it, and forks for each request; the request is decoded in the child. It waits for
nobody: monitors report to the engine themselves, and the kernel reaps them (SIGCHLD is ignored).
At the end of the engine's socket it exits; the monitors, in sessions of their own, stay.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from select import POLLIN, poll

from corten.launch import messages, packets
from corten.launch.monitor import Monitor
from corten.launch.object_pools import fill_object_pools
from corten.launch.rehearsal import practise, rehearse
from corten.launch.starter import Starter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM
    from signal import signal as set_handler
    from typing import Any

    from corten.launch.starter import Executor
else:  # without `signal`, which wraps these in enums
    from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM
    from _signal import signal as set_handler


def main(socket_fd: int, interpreter_fd: int, lock_path: str, executor_name: str, soft_limit: int) -> None:
    """Serve until the engine is gone.

    `interpreter_fd`: what was executed, to be closed; -1 if there is none. `executor_name`: the module that
    has
    `spawn`. `soft_limit`: of open files, for containers (the engine has raised its own).
    """
    if interpreter_fd >= 0:
        os.close(interpreter_fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    __import__(executor_name)
    executor: Executor = sys.modules[executor_name]
    for number in (SIGINT, SIGHUP, SIGTERM, SIGQUIT):
        set_handler(number, SIG_IGN)
    os.umask(0o022)
    os.chdir("/")
    rename(b"corten-launcher")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A launcher whose engine was killed may still be working off what it was asked for: wait until it, and
    # each monitor that it forked and that has not opened its socket yet, is done. Then every container can
    # be found.
    fcntl.flock(lock, fcntl.LOCK_EX)
    engine = socket(fileno=socket_fd)
    os.set_inheritable(socket_fd, False)
    gc.disable()
    set_handler(SIGCHLD, SIG_DFL)
    rehearse(f"{os.path.dirname(lock_path)}/rehearsal-{os.getpid()}")
    set_handler(SIGCHLD, SIG_IGN)
    _settle()
    try:
        packets.send(engine, (messages.READY, os.getpid()))
    except OSError:
        return  # the engine was killed while it waited
    _silence()
    serve(engine, lock, executor)


def _silence() -> None:
    """Let go of the engine's stdio: monitors outlive it, and whoever reads its output waits for the end."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


SPARES = 2
# So long nothing happens before the next spare is forked: a start needs the processors, and the engine needs
# them to tell of its end; or a start does not come to an end at all.
REFILL_DELAY_MS = 1
REFILL_AT_LAST_MS = 50
REHEARSALS = 10


class Spare:
    """A monitor and its starter, forked in advance: no request waits for a fork."""

    __slots__ = ("socket",)

    def __init__(
        self,
        engine: socket,
        lock: int,
        executor: Executor,
        *,
        namespaces: bool | None,
        others: Iterable[Spare] = (),
        inherited: Sequence[int] = (),
    ) -> None:
        """`namespaces`: make them in advance; None: prepare nothing, for the request is there.

        `others`, `inherited`: what this process has open that is none of the monitor's.
        """
        self.socket, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        try:
            child = os.fork()
        except OSError:
            self.socket.close()
            theirs.close()
            raise
        if child == 0:
            status = 1
            try:
                engine.close()
                self.socket.close()
                for spare in others:
                    spare.socket.close()
                for fd in inherited:
                    os.close(fd)
                monitor_main(theirs, lock, executor, namespaces)
                status = 0
            finally:
                os._exit(status)
        theirs.close()


def serve(engine: socket, lock: int, executor: Executor) -> None:
    """Keep spares ready. The engine has each one's socket and gives it its request itself: nobody else has to
    be woken for that. What comes here is what found no spare.

    The end of a spare's socket tells that its start is over (or that somebody killed it).
    """
    spares: dict[int, Spare] = {}
    starting: dict[int, Spare] = {}
    namespaces = True
    is_full = False  # no room for another process: perhaps there is when something has happened
    events = poll()
    events.register(engine, POLLIN)
    while True:
        lacks = len(spares) < SPARES and not is_full
        happened = events.poll((REFILL_AT_LAST_MS if starting else REFILL_DELAY_MS) if lacks else None)
        is_full = False
        if not happened:
            for fd, spare in starting.items():
                events.unregister(fd)
                spare.socket.close()
            starting.clear()
            try:
                spare = Spare(engine, lock, executor, namespaces=namespaces, others=spares.values())
            except OSError:
                is_full = True
                continue
            try:
                packets.send(engine, (messages.SPARE, namespaces), (spare.socket.fileno(),))
            except OSError:
                return
            spares[spare.socket.fileno()] = spare
            events.register(spare.socket, 0)
        for fd, _event in happened:
            if fd != engine.fileno():
                events.unregister(fd)
                (spares.pop(fd, None) or starting.pop(fd)).socket.close()
                continue
            try:
                payload, fds = packets.receive_packet(engine)
            except OSError:
                return
            if not payload:
                return
            if not fds:
                kind, value = packets.decode(payload, fds)
                if kind == messages.NEXT:
                    namespaces = value
                else:
                    _rehearse(value, executor)
                continue
            others = [*spares.values(), *starting.values()]
            started = _start(engine, lock, executor, payload, fds, others)
            if started is not None:
                starting[started.socket.fileno()] = started
                events.register(started.socket, 0)


def _start(
    engine: socket, lock: int, executor: Executor, payload: bytes, fds: list[int], others: Sequence[Spare]
) -> Spare | None:
    """Fork a monitor for a request that found no spare; None: there can be none, and who asked was told."""
    try:
        spare = Spare(engine, lock, executor, namespaces=None, others=others, inherited=fds)
        try:
            packets.send_packet(spare.socket, payload, fds)
        except OSError:
            spare.socket.close()  # it ends with that: no request will come
            raise
    except OSError as error:
        _refuse(fds, payload, error)
        return None
    finally:
        for descriptor in fds:
            os.close(descriptor)
    return spare


def _rehearse(plan: Any, executor: Executor) -> None:
    """At once: what is forked before and what is forked after share less."""
    for _round in range(REHEARSALS):
        if not practise(plan, executor):
            break
    _settle()


def _settle() -> None:
    """Leave memory as forks share it best."""
    gc.collect()
    gc.freeze()
    fill_object_pools()


def _refuse(fds: list[int], payload: bytes, error: OSError) -> None:
    """The host has no process or memory left: say so on the control socket that came with the request."""
    message = (
        f"cannot fork a monitor for the container: {error.strerror}; the host is out of processes or memory"
    )
    control = packets.connection(os.dup(fds[1 if payload == packets.BIG else 0]))
    try:
        packets.send(control, (messages.FAILED, "StartError", message))
    except OSError:
        pass
    control.close()


def monitor_main(requests: socket, lock: int, executor: Executor, namespaces: bool | None) -> None:
    """The life of a monitor, from its fork to its exit."""
    os.setsid()
    rename(b"corten-monitor")
    set_handler(SIGCHLD, SIG_DFL)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    starter = os.fork()
    if starter == 0:
        try:
            ours.close()
            ahead = None
            processors = os.sched_getaffinity(0)
            if namespaces is not None:
                ahead = executor.prepare(os.getppid(), namespaces=namespaces)
                packets.send(requests, (messages.READY, os.getpid()))
            payload, fds = packets.receive_packet(requests)
            try:
                os.sched_setaffinity(0, processors)  # the engine has changed them: see spares
            except OSError:
                pass  # none of them is left to this process: the kernel has chosen others
            if payload:  # else: the launcher has ended, and nobody will ever ask
                Starter(payload, fds, lock, theirs, executor, ahead).run()
        finally:
            os._exit(0)
    requests.close()
    theirs.close()
    os.close(lock)
    monitor = Monitor(ours, starter, executor)
    if monitor.take_over():
        monitor.run()
    reap()


def reap() -> None:
    """Wait for the children that are left: a process that could not be started is one (CLONE_PARENT).

    Left to the host's init, the zombie of an exec keeps the container's PID 1 from ending until it is reaped
    (zap_pid_ns_processes), and not every init is quick at that.
    """
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def rename(name: bytes) -> None:
    """What ps shows of this process (15 bytes), as PR_SET_NAME does."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name)
    os.close(fd)
