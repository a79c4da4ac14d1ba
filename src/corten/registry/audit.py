"""Who changed what, and who was refused: one record for each, for those who have to answer for it later."""

from __future__ import annotations

import enum
from typing import Protocol

from corten.registry.access import Identity


class Outcome(enum.Enum):
    """What became of it."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


class Audit(Protocol):
    """Where records go. `record` neither blocks on a disk nor raises; whoever changes something asks
    `require` before."""

    def record(
        self,
        identity: Identity,
        action: str,
        repository: str,
        detail: str,
        outcome: Outcome,
        *,
        source: str = "",
        request: str = "",
    ) -> None:
        """One record.

        `action` is a word with dots (`manifest.push`, `user.create`), `repository` "" where there is none,
        `detail` what exactly (a reference, a digest, a user's name), never a secret; `source` the client's
        address, `request` its X-Request-Id.
        """
        ...

    def require(self) -> None:
        """Unavailable when records cannot be written now, and changes are therefore refused."""
        ...


class NoAudit:
    """Keeps nothing."""

    def record(
        self,
        identity: Identity,
        action: str,
        repository: str,
        detail: str,
        outcome: Outcome,
        *,
        source: str = "",
        request: str = "",
    ) -> None:
        return

    def require(self) -> None:
        return
