"""The engine's side of launching: the launcher process, and one Monitor per running container or exec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from corten.launch.exit_status import ExitStatus, MonitorState, read_exit, read_state

__all__ = [
    "AttachHandle",
    "Attachment",
    "ExitStatus",
    "LaunchRequest",
    "Launcher",
    "Monitor",
    "MonitorState",
    "read_exit",
    "read_state",
]

DEFAULT_DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


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


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One container (or exec) to start.

    `plan`: from runtime.plan (marshal-able). `run_dir`: is made if missing; state.json, monitor.sock and
    exit.json appear in it. The caller removes it when it has no more use for it.
    `stdio`: "monitor": pipes or a terminal of the monitor's, logged to `log_path` (None: no log), clients can
    attach. "fds": the three fds given to `launch` become the process's stdio (no log, no attach); with `tty` and
    no fds the container's terminal is handed out by `Monitor.take_console()`. "null": /dev/null.
    `open_stdin`: keep stdin open (docker's -i), otherwise it is empty. `stdin_once`: the first client's
    half-close (or end) closes stdin.
    `hold`: stop before exec until `Monitor.start()`.
    `log_max_size`: bytes (0: never rotate); `log_max_file`: how many files to keep.
    """

    container_id: str
    plan: object
    run_dir: Path
    log_path: Path | None = None
    stdio: Literal["monitor", "fds", "null"] = "monitor"
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    hold: bool = False
    log_max_size: int = 0
    log_max_file: int = 1
    attachments: tuple[Attachment, ...] = ()


class Launcher:
    """Owns the launcher process and starts it again when it dies; the launcher ends when this one does."""

    @classmethod
    async def start(cls, *, run_dir: Path) -> Launcher:
        """Start the launcher process. `run_dir` ($CORTEN_RUN) holds its lock: two never fork side by side."""
        raise NotImplementedError

    async def launch(self, request: LaunchRequest, fds: Sequence[int] = ()) -> Monitor:
        """Ask for a container; returns at once, before it exists: go on with `created()` or `start()`."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the launcher. Containers and their monitors stay."""
        raise NotImplementedError


class Monitor:
    """One per running container or exec. Lose it and nothing happens: `connect` again.

    Any method raises `Unavailable` once the monitor is gone without having said why.
    """

    pid: int
    pidfd: int
    started_at_ns: int
    attachments: tuple[AttachHandle, ...]

    @classmethod
    async def connect(cls, run_dir: Path) -> Monitor:
        """Reach the monitor of `run_dir` after an engine restart; Unavailable if there is none any more."""
        raise NotImplementedError

    async def created(self) -> int:
        """Wait until PID 1 exists (and holds): its pid on the host. Raises StartError and its subclasses."""
        raise NotImplementedError

    async def start(self) -> None:
        """Release the hold, if there is one; returns when exec has happened, raises StartError and the like."""
        raise NotImplementedError

    async def wait(self) -> ExitStatus:
        """Wait for the end. All output is in the log by then. May be called by several tasks, and again."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; InvalidArgument if there is no terminal."""
        raise NotImplementedError

    async def kill(self, signal: int) -> None:
        """Signal PID 1 (not its children); Conflict if it has ended."""
        raise NotImplementedError

    async def rotate_log(self) -> None:
        """Rotate the log now, or open it anew if somebody moved it."""
        raise NotImplementedError

    async def take_console(self) -> int:
        """The terminal's master as a new fd of the caller's (stdio "fds" with `tty`)."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget the monitor (it goes on): closes the control connection and the pidfd."""
        raise NotImplementedError


class AttachHandle:
    """A client that is attached; the monitor serves it."""

    async def wait(self) -> Literal["keys", "closed", "exited"]:
        """Wait until it is attached no more: by its detach keys, because it went away, or at the exit."""
        raise NotImplementedError

    def detach(self) -> None:
        """Drop the client now."""
        raise NotImplementedError
