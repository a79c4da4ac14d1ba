"""Write state.json and exit.json into a run directory, whole or not at all (`exit_status` reads them).

No fsync: the run directory is on a tmpfs, and after a crash of the machine nothing of it counts.
The monitor loads this module: JSON is written by hand, json costs 9 ms and half a mebibyte.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def process_start_time(pid: int) -> int:
    """Field 22 of /proc/<pid>/stat, in clock ticks since boot; 0 if the process is gone."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        # The name (field 2) may hold blanks and parentheses: count from its end.
        return int(os.read(fd, 1024).rpartition(b")")[2].split()[19])
    finally:
        os.close(fd)


def write_state(directory: int, container_id: str, pid: int, started_at_ns: int, monitor_pid: int) -> None:
    """state.json. `started_at_ns` is 0 while the container holds before its exec."""
    _replace(
        directory,
        "state.json",
        f'{{"container_id":{_quoted(container_id)},"pid":{pid},"pid_start_time":{process_start_time(pid)},'
        f'"monitor_pid":{monitor_pid},"started_at_ns":{started_at_ns}}}\n',
    )


def write_exit(directory: int, status: tuple[Any, ...]) -> None:
    """exit.json, from an EXITED message."""
    _kind, code, signal, oom_killed, finished_at_ns, error = status
    _replace(
        directory,
        "exit.json",
        f'{{"code":{code},"signal":{signal},"oom_killed":{"true" if oom_killed else "false"},'
        f'"finished_at_ns":{finished_at_ns},"error":{_quoted(error)}}}\n',
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _replace(directory: int, name: str, text: str) -> None:
    """Where it cannot be written (the disk is full, the directory is gone), nothing is: the engine that is
    there has to be told all the same, and the next one knows what it means that there is nothing.
    """
    temporary = f".{name}.new"
    data = text.encode("utf-8", "replace")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            whole = os.write(fd, data) == len(data)  # the last bytes of a disk may take a part
        finally:
            os.close(fd)
        if whole:
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        pass
