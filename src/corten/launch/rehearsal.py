"""Go through the life of a monitor in the launcher itself, before the first request.

The interpreter fills caches as it runs (types' method caches, the specialised instructions of each
function), and a process that was forked before pays for that with private copies of the pages: the first
lookup of any attribute of a socket alone costs a quarter of a mebibyte. After a rehearsal, all of them are
filled, shared, and starts are faster.
"""

from __future__ import annotations

import marshal
import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, SOCK_STREAM, socketpair

from corten.errors import CortenError
from corten.launch import messages, packets
from corten.launch.monitor import Monitor
from corten.launch.starter import Starter
from corten.runtime.operations import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_DFL, SIG_IGN, SIGCHLD
    from signal import signal as set_handler
    from typing import Any

    from corten.launch.starter import Executor
else:  # without `signal`, which wraps these in enums
    from _signal import SIG_DFL, SIG_IGN, SIGCHLD
    from _signal import signal as set_handler

ROUNDS = 12  # CPython specialises a function after it was called eight times or so


class _Process:
    """A process that prints a line and ends, in place of a container's."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.pidfd = -1
        self.console: int | None = None
        self.held = False

    def finish(self) -> None:
        """It does not hold."""


class _Executor:
    """Makes such processes; as children of this process, which plays starter and monitor in one."""

    def prepare(self, origin: int, *, namespaces: bool) -> Any:
        """There is nothing to prepare."""

    def spawn(self, plan: Any, **options: Any) -> _Process:
        process = _Process()
        process.pid = os.fork()
        if process.pid == 0:
            os.write(options["stdio"][1], b"rehearsal\n")
            os._exit(0)
        process.pidfd = os.pidfd_open(process.pid)
        return process

    def cleanup(self, plan: Any) -> None:
        """There is no cgroup."""


def rehearse(directory: str) -> None:
    """Start and end a few processes that do nothing; `directory` must not exist, and does not afterwards."""
    for _round in range(ROUNDS):
        _play(directory)
    for name in ("log", "state.json", "exit.json", "monitor.sock"):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)


def practise(plan: Any, executor: Executor) -> bool:
    """Make the container of `plan` (see `rehearsal_plan`) and wait for its end; false if it cannot be made.

    The launcher ignores SIGCHLD, so that the kernel reaps its monitors: not while this waits for its own
    child.
    """
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    set_handler(SIGCHLD, SIG_DFL)
    try:
        spawned = executor.spawn(Plan.from_primitive(plan), stdio=(null, null, null), on_created=_ignore)
        os.close(spawned.pidfd)
        os.waitpid(spawned.pid, 0)
    except (CortenError, OSError):
        return False
    finally:
        set_handler(SIGCHLD, SIG_IGN)
        os.close(null)
        _reap()
    return True


def _ignore(pid: int, pidfd: int) -> None:
    """Nobody wants to know."""


def _reap() -> None:
    """Reap the monitors that ended while SIGCHLD was not ignored."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _play(directory: str) -> None:
    clients = ((0, 15, b"x"),)
    log = f"{directory}/log"
    chosen: dict[str, Any] = {
        "container_id": "rehearsal",
        "run_dir": directory,
        "log_path": log,
        "stdio": messages.STDIO_MONITOR,
        "open_stdin": True,
        "stdin_once": True,
        "log_max_size": 1 << 20,
        "log_max_file": 2,
        "attachments": clients,
        "files": (),
        "cgroup": (),
    }
    settings = tuple(chosen.get(name, False) for name in messages.SETTINGS)
    plan = ({"clone_flags": 0, "cgroup": None, "joins": False}, (), (), ())
    payload = marshal.dumps((messages.LAUNCH, settings))
    engine, control = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    packets.send(engine, (messages.PLAN, plan))
    client, served = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    lock = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    executor = _Executor()
    starter = Starter(payload, [control.detach(), served.detach()], lock, theirs, executor)
    starter.run()
    theirs.close()
    helper = os.fork()
    if helper == 0:
        os._exit(0)
    monitor = Monitor(ours, helper, executor)
    if not monitor.take_over():
        raise OSError(f"the launcher cannot start a process at all: {packets.receive(engine)[0]}")
    client.send(b"input")
    monitor.run()
    monitor.close()
    starter.close()
    engine.close()
    client.close()
