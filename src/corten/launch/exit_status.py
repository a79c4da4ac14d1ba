"""How a container ended, and where its monitor writes that down."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from corten.errors import IntegrityError

EXIT_FILE = "exit.json"
STATE_FILE = "state.json"
SOCKET_FILE = "monitor.sock"

T = TypeVar("T")


class ExitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a container or of an exec.

    `code` is what Docker shows: the exit code, or 128 + the signal. `signal` is 0 for a normal exit.
    `oom_killed`: the kernel's OOM killer struck in its cgroup. `finished_at_ns`: Unix time in nanoseconds.
    `error`: one sentence if the monitor itself had to give up, else "".
    """

    code: int
    signal: int = 0
    oom_killed: bool = False
    finished_at_ns: int = 0
    error: str = ""


class MonitorState(msgspec.Struct, frozen=True, kw_only=True):
    """state.json: what a monitor says about the process it watches, once that has been created.

    `pid_start_time` is field 22 of /proc/<pid>/stat: with it, a reused pid is told apart.
    """

    container_id: str
    pid: int
    pid_start_time: int
    monitor_pid: int
    started_at_ns: int


def read_exit(run_dir: Path) -> ExitStatus | None:
    """What `run_dir`/exit.json says; None while there is none (it runs, or its monitor was killed)."""
    return _read(run_dir / EXIT_FILE, ExitStatus)


def read_state(run_dir: Path) -> MonitorState | None:
    """What `run_dir`/state.json says; None if nothing was ever created there."""
    return _read(run_dir / STATE_FILE, MonitorState)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{path} is not what a monitor writes: {error}") from error
