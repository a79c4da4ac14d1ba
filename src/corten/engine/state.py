"""The life of a container: an enum of states and the table of moves between them."""

from __future__ import annotations

from enum import StrEnum

from corten.errors import Conflict


class Status(StrEnum):
    """Docker's container states, with Docker's names."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"

    @property
    def has_process(self) -> bool:
        """Whether a process of the container exists."""
        return self in (Status.RUNNING, Status.PAUSED)


TRANSITIONS: dict[Status, frozenset[Status]] = {
    # A start that fails leaves a created container created, as Docker does.
    Status.CREATED: frozenset({Status.RUNNING, Status.REMOVING, Status.CREATED}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.RESTARTING, Status.EXITED}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED, Status.RESTARTING, Status.REMOVING}),
    Status.EXITED: frozenset({Status.RUNNING, Status.RESTARTING, Status.REMOVING, Status.EXITED}),
    Status.REMOVING: frozenset({Status.DEAD}),
    Status.DEAD: frozenset({Status.REMOVING}),
}
"""From each state, the states that may follow it."""


def check_transition(container_id: str, current: Status, wanted: Status) -> None:
    """Conflict when the table does not allow the move."""
    if wanted not in TRANSITIONS[current]:
        raise Conflict(f"container {container_id[:12]} is {current} and cannot become {wanted}")
