"""Execute a plan: the parent's side. Loaded by the launcher; imports only `corten.linux` and `corten.errors`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.runtime.operations import Plan


class Spawned:
    """A process that was made: `pid` and `pidfd` in the parent's pid namespace.

    `console` is the pty's master (or None). `held` is true while the process waits for the start byte: then
    `channel` becomes readable when the command runs or failed, and `finish()` tells which. `warnings` are what
    the specification lets a runtime clamp (one sentence each).
    """

    __slots__ = ("channel", "console", "held", "pid", "pidfd", "warnings")

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.console: int | None = None
        self.channel = -1
        self.held = False
        self.warnings: list[str] = []

    def finish(self) -> None:
        """Wait until the held process has executed its command; raises as `spawn` does. Closes `channel`."""
        raise NotImplementedError


def spawn(
    plan: Plan,
    *,
    stdio: tuple[int, int, int],
    console: bool = False,
    start_fd: int | None = None,
    on_created: Callable[[int], None] | None = None,
) -> Spawned:
    """Make the process that `plan` describes; returns when it has executed its command.

    With `start_fd` (and a plan compiled with `hold`) it returns when the process waits to read one byte there.
    With `console`, the process gets a new pty instead of `stdio`. `on_created(pid)` is called as soon as the process
    has its namespaces, before its root file system is set up. Raises StartError, CommandNotFound,
    CommandNotExecutable, LimitError; nothing (process, cgroup, fd) is then left behind.
    """
    raise NotImplementedError


def cleanup(plan: Plan) -> None:
    """Remove what outlives the process: its cgroup."""
    raise NotImplementedError
