"""PID 1 that is ours: reaps what is orphaned, forwards signals, ends as its command ends."""

from __future__ import annotations

import os

from corten.linux import prctl as p
from corten.linux import signals as s
from corten.linux.process import close_range, overwrite

_SYNCHRONOUS = {4, 5, 7, 8, 11}  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: our own faults, not messages
_SIGCHLD, _SIGTTIN, _SIGTTOU = 17, 21, 22


def hide() -> None:
    """Before the command is there to look: what this process has in its memory, and what its /proc entries
    point to, is not the container's.
    """
    p.prctl(p.PR_SET_DUMPABLE, 0)
    p.set_name(b"corten-init")
    _hide_command_line()


def supervise(child: int) -> None:
    """Serve as init until `child` ends. Does not return."""
    close_range(3)
    signals = s.valid_signals() - _SYNCHRONOUS
    s.pthread_sigmask(s.SIG_BLOCK, signals)
    for number in (_SIGTTIN, _SIGTTOU):
        s.set_handler(number, s.SIG_IGN)
    while True:
        status = _reap(child)
        if status is not None:
            os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
        number = s.sigwaitinfo(signals).si_signo
        if number != _SIGCHLD:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                pass


def _hide_command_line() -> None:
    """What ps shows in the container is the host's interpreter with its paths: overwrite it."""
    try:
        fd = os.open(b"/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # no /proc, so nothing shows it
    fields = os.read(fd, 4096).rpartition(b")")[2].split()
    os.close(fd)
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end of proc(5)
    if 0 < start < end:
        overwrite(start, b"corten-init".ljust(end - start, b"\0")[: end - start])


def _reap(child: int) -> int | None:
    """Collect all that has ended; the wait status of `child` when it is among them."""
    result = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if pid == 0:
            return result
        if pid == child:
            result = status
