"""Restart policies: whether a container that ended starts again, and after which pause."""

from __future__ import annotations

from corten.api.host_config import HostConfig
from corten.errors import InvalidArgument

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
STEADY_AFTER = 10.0
"""A container that ran this long (seconds) starts again after the first pause."""


def check_policy(host: HostConfig) -> None:
    """InvalidArgument, in Docker's words, for a policy that is not one."""
    policy = host.restart_policy
    if policy.name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if host.auto_remove and policy.name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")


def restarts(host: HostConfig, *, exit_code: int, restart_count: int, manually_stopped: bool) -> bool:
    """Whether a container that just ended starts again."""
    policy = host.restart_policy
    if manually_stopped:
        return False
    if policy.name in ("always", "unless-stopped"):
        return True
    if policy.name == "on-failure":
        limit = policy.maximum_retry_count
        return exit_code != 0 and (limit == 0 or restart_count < limit)
    return False


def restarts_with_engine(host: HostConfig, *, manually_stopped: bool) -> bool:
    """Whether a container that ended without the engine seeing it, or was stopped, starts with the engine."""
    policy = host.restart_policy.name
    return policy == "always" or (policy == "unless-stopped" and not manually_stopped)


def next_pause(previous: float, ran_for: float) -> float:
    """Seconds until the next start: 100 ms, doubled each time up to a minute, anew after a steady run."""
    if ran_for >= STEADY_AFTER or previous == 0:
        return FIRST_PAUSE
    return min(previous * 2, LONGEST_PAUSE)
