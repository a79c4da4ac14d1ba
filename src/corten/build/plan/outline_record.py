"""What a stage is told from outside, noted while it is planned (`--call outline`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from corten.build.instructions.types import Definition


class DeclaredArgument(msgspec.Struct, frozen=True):
    """An ARG with its value; `needs` are the ARGs that its default refers to."""

    definition: Definition
    value: str
    lines: tuple[int, int]
    needs: frozenset[str] = frozenset()


class NeededSecret(msgspec.Struct, frozen=True):
    """A secret, or an agent, of a RUN."""

    required: bool
    lines: tuple[int, int]


@dataclass(eq=False, slots=True)
class OutlineRecord:
    """`declared` are the stage's own ARGs, `used` the names that it refers to, global ones among them."""

    declared: dict[str, DeclaredArgument] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    secrets: dict[str, NeededSecret] = field(default_factory=dict)
    agents: dict[str, NeededSecret] = field(default_factory=dict)
