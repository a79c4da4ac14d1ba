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
import sys
from _socket import socket

from corten.launch import messages, packets
from corten.launch.monitor import Monitor
from corten.runtime.operations import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM
    from signal import signal as set_handler

    from corten.launch.monitor import Executor
else:  # without `signal`, which wraps these in enums
    from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM
    from _signal import signal as set_handler


def main(socket_fd: int, lock_path: str, executor_name: str) -> None:
    """Serve until the engine is gone. `executor_name`: the module that has `spawn`, imported once, here."""
    __import__(executor_name)
    executor: Executor = sys.modules[executor_name]
    for number in (SIGINT, SIGHUP, SIGTERM, SIGQUIT, SIGCHLD):
        set_handler(number, SIG_IGN)
    os.umask(0o022)
    os.chdir("/")
    _detach_stdin()
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A launcher whose engine was killed may still be working off what it was asked for: wait until it, and
    # each monitor that it forked and that has not opened its socket yet, is done. Then every container can
    # be found.
    fcntl.flock(lock, fcntl.LOCK_EX)
    engine = socket(fileno=socket_fd)
    os.set_inheritable(socket_fd, False)
    gc.collect()
    gc.freeze()
    gc.disable()
    packets.send(engine, (messages.READY, os.getpid()))
    serve(engine, lock, executor)


def _detach_stdin() -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)


def serve(engine: socket, lock: int, executor: Executor) -> None:
    """Fork a monitor for each request."""
    while True:
        try:
            payload, fds = packets.receive_packet(engine)
        except OSError:
            return
        if not payload:
            return
        try:
            child = os.fork()
        except OSError as error:
            _refuse(fds, payload, error)
            child = -1
        if child == 0:
            engine.close()
            status = 1
            try:
                monitor_main(payload, fds, lock, executor)
                status = 0
            finally:
                os._exit(status)
        for fd in fds:
            os.close(fd)


def _refuse(fds: list[int], payload: bytes, error: OSError) -> None:
    """The host has no process or memory left: say so on the control socket that came with the request."""
    control = fds[1 if payload == b"\x00" else 0]
    message = (
        f"cannot fork a monitor for the container: {error.strerror}; the host is out of processes or memory"
    )
    with_control = socket(fileno=os.dup(control))
    try:
        packets.send(with_control, (messages.FAILED, "StartError", message))
    except OSError:
        pass
    with_control.close()


def monitor_main(payload: bytes, fds: list[int], lock: int, executor: Executor) -> None:
    """The life of a monitor, from its fork to its exit."""
    os.setsid()
    set_handler(SIGCHLD, SIG_DFL)
    _become("corten-monitor")
    _kind, values, plan = packets.decode(payload, fds)
    control = socket(fileno=fds.pop(0))
    monitor = Monitor(
        control, dict(zip(messages.SETTINGS, values, strict=True)), Plan.from_primitive(plan), executor
    )
    monitor.prepare()
    os.close(lock)
    try:
        monitor.start(fds)
    except Exception as error:
        monitor.fail(error)
    monitor.run()


def _become(name: str) -> None:
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for standard in (1, 2):
        os.dup2(null, standard)
    os.close(null)
