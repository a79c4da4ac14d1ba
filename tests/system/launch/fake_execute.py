"""An executor without containers: fork, setsid, exec; it keeps what `runtime.execute` promises to launch."""

from __future__ import annotations

import fcntl
import os
import signal
import termios

from corten.errors import CommandNotFound
from corten.linux.namespace import clone3
from corten.linux.prctl import PR_SET_PDEATHSIG, prctl


class Spawned:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.console = None
        self.channel = -1
        self.held = False
        self.warnings = []

    def finish(self) -> None:
        data = os.read(self.channel, 4096)
        os.close(self.channel)
        if data:
            raise CommandNotFound(data.decode())


def prepare(origin, *, namespaces):
    return None


def spawn(
    plan, *, stdio, console=False, start_fd=None, on_created=None, on_held=None, on_mounts=None, ahead=None
):
    argv = plan.settings["argv"]
    channel, report = os.pipe2(os.O_CLOEXEC)
    master = slave = None
    if console:
        master, slave = os.openpty()
        os.set_inheritable(slave, True)
        stdio = (slave, slave, slave)
    pid, pidfd = clone3(plan.settings["clone_flags"])
    if pid == 0:
        _child(argv, stdio, console, start_fd, report)
    os.close(report)
    os.close(pidfd)
    if slave is not None:
        os.close(slave)
    spawned = Spawned(pid)
    if on_created is not None:
        on_created(pid, spawned.pidfd)
    spawned.console = master
    spawned.channel = channel
    if start_fd is not None:
        spawned.held = True
        return spawned
    try:
        spawned.finish()
    except CommandNotFound:
        raise
    return spawned


def _child(argv, stdio, console, start_fd, report):
    try:
        os.setsid()
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        if console:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if start_fd is not None and not os.read(start_fd, 1):
            os._exit(1)
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        message = f'exec: "{argv[0]}": executable file not found in $PATH'
        os.write(report, message.encode())
    finally:
        os._exit(127)


def cleanup(plan):
    pass
