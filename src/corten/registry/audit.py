"""Who changed what, and who was refused: one record for each, for those who have to answer for it later."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from corten.registry.access import Identity


class Outcome(enum.Enum):
    """What became of it."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


class Record(msgspec.Struct, frozen=True):
    """Who (`identity`) did what, and what became of it."""

    identity: Identity
    action: str
    """A word with dots: `manifest.push`, `user.create`."""
    repository: str
    """"" where there is none."""
    detail: str
    """What exactly (a reference, a digest, a user's name), never a secret."""
    outcome: Outcome = Outcome.DONE
    source: str = ""
    """The client's address, or `command`."""
    request: str = ""
    """X-Request-Id."""


class Audit(Protocol):
    """Where records go. `record` neither waits for a disk nor raises; whoever changes something asks
    `require` before."""

    def record(self, record: Record) -> None: ...

    def require(self) -> None:
        """Unavailable when records cannot be written now, and changes are therefore refused."""
        ...

    def close(self) -> None:
        """Brings what was recorded to the disk; the last call."""
        ...


class NoAudit:
    """Keeps nothing."""

    def record(self, record: Record) -> None:
        return

    def require(self) -> None:
        return

    def close(self) -> None:
        return
