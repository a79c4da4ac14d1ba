"""`--call outline` and `--call targets`: what a build takes from outside, and what it can build."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from corten.build.lint.linter import Linter
from corten.build.lint.selection import SILENT
from corten.build.plan.dockerfile_reader import read_dockerfile
from corten.build.plan.model import ImageResolver, PlanOptions
from corten.build.plan.outline_record import DeclaredArgument, NeededSecret
from corten.build.plan.planner import Planner
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import StageState


class OutlineArgument(msgspec.Struct, frozen=True):
    """An ARG: its value in this build, and what the comment above it says."""

    name: str
    value: str
    description: str
    lines: tuple[int, int]


class OutlineSecret(msgspec.Struct, frozen=True):
    """A secret (or an ssh agent) that a RUN uses."""

    name: str
    required: bool
    lines: tuple[int, int]


class Outline(msgspec.Struct, frozen=True):
    """What the target (its `name`; empty: none) takes, in the order of the lines."""

    name: str
    description: str
    arguments: tuple[OutlineArgument, ...]
    secrets: tuple[OutlineSecret, ...]
    agents: tuple[OutlineSecret, ...]


class Target(msgspec.Struct, frozen=True):
    """A stage: `base` and `platform` as they are written. `is_default`: what is built when none is named."""

    name: str
    description: str
    base: str
    platform: str
    is_default: bool
    lines: tuple[int, int]


def list_targets(data: bytes) -> tuple[Target, ...]:
    """The stages of a Dockerfile. Raises DockerfileError."""
    stages = read_dockerfile(data, Linter(SILENT)).stages
    return tuple(
        Target(
            name=stage.name,
            description=stage.start.comment,
            base=stage.start.base,
            platform=stage.start.platform,
            is_default=stage is stages[-1],
            lines=stage.start.lines,
        )
        for stage in stages
    )


async def outline_build(data: bytes, options: PlanOptions, images: ImageResolver) -> Outline:
    """The outline of one target. Raises what `plan_build` does."""
    planner = Planner(data, options, images, None, Linter(SILENT))
    planning, target = await planner.outline()
    return _Reader(planning).read(target)


class _Reader:
    def __init__(self, planning: Planning) -> None:
        self._declared = planning.declared

    def read(self, target: StageState) -> Outline:
        states = list(_below(target))
        return Outline(
            name=target.name,
            description=target.stage.start.comment if target.stage is not None else "",
            arguments=self._arguments(states),
            secrets=_secrets(states, lambda state: state.outline.secrets),
            agents=_secrets(states, lambda state: state.outline.agents),
        )

    def _arguments(self, states: list[StageState]) -> tuple[OutlineArgument, ...]:
        found: dict[str, OutlineArgument] = {}
        for state in states:
            known = {**self._declared, **state.outline.declared}
            for name in _with_needs(state.outline.used, known):
                if name in known and name not in found:
                    argument = known[name]
                    found[name] = OutlineArgument(
                        name, argument.value, argument.definition.comment, argument.lines
                    )
        return tuple(sorted(found.values(), key=lambda argument: (argument.lines, argument.name)))


def _with_needs(names: set[str], known: Mapping[str, DeclaredArgument]) -> Iterator[str]:
    """`names`, and those that the defaults of these refer to, and so on."""
    seen: set[str] = set()
    pending = sorted(names)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name in known:
            pending += sorted(known[name].needs)


def _below(target: StageState) -> Iterator[StageState]:
    """`target`, then what it is based on and takes files from; each once."""
    seen: set[StageState] = set()
    pending = [target]
    while pending:
        state = pending.pop()
        if state in seen:
            continue
        seen.add(state)
        yield state
        pending += reversed(state.dependencies)
        if state.base is not None:
            pending.append(state.base)


def _secrets(
    states: list[StageState], of: Callable[[StageState], Mapping[str, NeededSecret]]
) -> tuple[OutlineSecret, ...]:
    """Each once, by its first line; required, when any instruction requires it."""
    found: dict[str, OutlineSecret] = {}
    for state in states:
        for name, secret in of(state).items():
            other = found.get(name)
            required = secret.required or (other is not None and other.required)
            lines = secret.lines if other is None else min(other.lines, secret.lines)
            found[name] = OutlineSecret(name, required, lines)
    return tuple(sorted(found.values(), key=lambda secret: (secret.lines, secret.name)))
