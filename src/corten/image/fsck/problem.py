"""What a check finds, and what it tells on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Problem:
    """`kind` is blob, layer, image, name, container, index, database or leftover; `subject` its digest, ID,
    name or path. `repaired` says what was done about it; `remedy` what the user can do."""

    kind: str
    subject: str
    problem: str
    repaired: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Something was checked: `done` of `total` of this `stage`."""

    stage: str
    subject: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """A container, for the check of what it needs."""

    id: str
    image_id: str
    chain: tuple[str, ...]
    running: bool


Tell = Callable[[Step | Problem], None]
"""Called from the working thread."""
