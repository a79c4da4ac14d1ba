"""An ordinary user's engine: its own user and mount namespace, entered once, before anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rootless:
    """How this engine came to be root in a user namespace."""

    uid: int  # the user's ids outside
    gid: int
    single_id: bool  # only uid 0 and gid 0 exist inside
    note: str  # one sentence for the log and `corten info`, "" when all is well


def enter_if_needed(run_dir: Path | None = None) -> Rootless | None:
    """Enter the user namespace when the caller is not root; None when it is root.

    Call it first in the process: single-threaded, before the launcher. `run_dir` (CORTEN_RUN) remembers the
    namespace, so that the next engine joins the one in which containers still run. Raises Unsupported.
    """
    raise NotImplementedError


def current() -> Rootless | None:
    """What `enter_if_needed` found in this process (None: root, or not entered)."""
    raise NotImplementedError


def is_rootless() -> bool:
    """True inside a user namespace that is not the host's initial one."""
    raise NotImplementedError


def default_root() -> Path:
    """CORTEN_ROOT's default for this user."""
    raise NotImplementedError


def default_run() -> Path:
    """CORTEN_RUN's default for this user."""
    raise NotImplementedError


def delegated_cgroup() -> Path | None:
    """The cgroup v2 directory that this user may divide among containers, or None: then no limit can be kept."""
    raise NotImplementedError
