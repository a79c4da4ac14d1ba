"""What a container changed: an upper directory against the layers below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is 0 for modified ("C"), 1 for added ("A"), 2 for deleted ("D"), as Docker's API counts."""

    path: str
    kind: int

    @property
    def letter(self) -> str:
        """C, A or D."""
        return "CAD"[self.kind]


def changes(upper: str, lowers: Sequence[str]) -> list[Change]:
    """The changes in `upper` (an overlay's upperdir) over `lowers` (topmost first), in Docker's order."""
    raise NotImplementedError
