"""Starts the engine when none listens: the first command of a user does, once, however many come at a
time."""

from __future__ import annotations

import fcntl
import os
import sys
import time

from corten.client import transport
from corten.client.address import Address
from corten.errors import Denied, Unavailable

TYPE_CHECKING = False

START_TIMEOUT = 30.0  # a cold page cache on a slow disk: imports alone then take seconds
READY_FD = "CORTEN_READY_FD"


def start_engine(address: Address) -> None:
    """Returns when an engine answers at `address`, or raises `Unavailable` with the end of its log.

    One starter at a time (a file lock): the others wait for it and find the engine there.
    """
    run = os.path.dirname(address.path)
    try:
        os.makedirs(run, 0o700, exist_ok=True)
        if not run.startswith("/run/") and os.stat(run).st_uid != os.getuid():
            raise Denied(
                f"the run directory {run} belongs to another user: set CORTEN_RUN to one of your own"
            )
        lock = os.open(os.path.join(run, "autostart.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"cannot start the engine: {error.strerror} for the run directory {run};"
            " set CORTEN_RUN to a directory that can be written"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not listens(address):
            _spawn_and_wait(address, os.path.join(run, "engine.log"))
    finally:
        os.close(lock)


def listens(address: Address) -> bool:
    """Whether anybody takes connections there."""
    try:
        transport.connect(address).close()
    except OSError:
        return False
    return True


def is_free(lock: str | os.PathLike[str]) -> bool:
    """Whether no process holds the file lock: that of an engine, until it has ended. True as well where it
    may not be asked."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def engine_command() -> list[str]:
    """The command line of an engine in the foreground."""
    return module_command("corten.daemon")


def module_command(module: str) -> list[str]:
    """The command line that runs a module of corten as a program, isolated as `python_command`."""
    if _installed():
        return [sys.executable, "-I", "-m", module]
    return python_command(f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)")


def python_command(program: str) -> list[str]:
    """A Python program that can import corten, isolated from the caller's PYTHON* variables and directory."""
    if not _installed():
        # A checkout that is only on PYTHONPATH: -I would not find it.
        program = f"import sys; sys.path.insert(0, {_source()!r})\n{program}"
    return [sys.executable, "-I", "-c", program]


def _source() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _installed() -> bool:
    return _source().endswith(("site-packages", "dist-packages"))


def _spawn_and_wait(address: Address, log_path: str) -> None:
    ready, ready_in_engine = os.pipe()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    log_start = os.fstat(log).st_size
    try:
        pid = _spawn(log, ready_in_engine, os.path.dirname(address.path))
    except OSError as error:
        os.close(ready)
        raise Unavailable(f"cannot start the engine: {error.strerror} for {sys.executable}") from error
    finally:
        os.close(log)
        os.close(ready_in_engine)
    try:
        _wait(address, ready, pid, log_path, log_start)
    finally:
        os.close(ready)


def _spawn(log: int, ready: int, run: str) -> int:
    """posix_spawn, not fork: callers of the Python API have threads. The engine is its own session, in no
    one's way."""
    environment = dict(os.environ, CORTEN_RUN=run)
    environment[READY_FD] = str(ready)
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    # Descriptors that the caller's shell or test harness left open must not live as long as the engine.
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != ready and _inheritable(fd):
            actions.append((os.POSIX_SPAWN_CLOSE, fd))
    os.set_inheritable(ready, True)
    command = engine_command()
    return os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(1, 2, 3, 13, 15),
    )


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # the directory stream that listed it


def _wait(address: Address, ready: int, pid: int, log_path: str, log_start: int) -> None:
    """The engine writes a byte when it listens, and closes the pipe by dying; the socket says the same,
    later."""
    import select

    poller = select.poll()
    poller.register(ready, select.POLLIN | select.POLLHUP)
    deadline = time.monotonic() + START_TIMEOUT
    alive = True
    while time.monotonic() < deadline:
        if alive:
            if poller.poll(50):
                alive = bool(os.read(ready, 64))
        else:
            time.sleep(0.01)  # the pipe is closed: it is dying, or it does not know of the pipe
        if listens(address):
            return
        if not alive and _ended(pid):
            raise Unavailable(f"the engine could not start;{_tail(log_path, log_start)}")
    raise Unavailable(
        f"the engine (process {pid}) did not answer within {START_TIMEOUT:.0f} seconds;"
        f"{_tail(log_path, log_start)}"
    )


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _tail(path: str, start: int, lines: int = 12) -> str:
    with open(path, "rb") as log:
        log.seek(start)
        text = log.read()[-4000:].decode("utf-8", "replace").strip()
    if not text:
        return f" it left nothing in its log {path}"
    shown = "\n  ".join(text.splitlines()[-lines:])
    return f" its log {path} ends with:\n  {shown}"
