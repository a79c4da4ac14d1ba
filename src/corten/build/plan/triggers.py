"""ONBUILD: the instructions that a base has left for the stages that are based on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from corten.build.instructions.parse import parse_instruction
from corten.build.instructions.types import Instruction, Onbuild
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.parser.syntax_tree import Node
from corten.build.plan.commands import make_command
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import Command, StageState


def add_triggers(planning: Planning, states: Collection[StageState]) -> bool:
    """Puts the triggers of each stage's base in front of its own instructions; each only once. Whether any
    of them takes files from a stage or an image, which must be resolved then."""
    found = False
    for state in states:
        if state.has_triggers or state.stage is None or state.context is not None:
            continue
        if state.base is None and state.image is None:
            continue
        state.has_triggers = True
        commands = [_command(planning, state, trigger) for trigger in _triggers(state)]
        state.commands[:0] = commands
        state.steps += len(commands)
        found = found or any(command.sources for command in commands)
    return found


def _triggers(state: StageState) -> Sequence[str]:
    if state.base is None:
        triggers, state.draft.triggers = state.draft.triggers, []
        return triggers
    if state.base.context is not None:
        return state.base.draft.triggers
    return [
        command.instruction.expression
        for command in state.base.commands
        if isinstance(command.instruction, Onbuild)
    ]


def _command(planning: Planning, state: StageState, trigger: str) -> Command:
    instruction = _instruction(state.node, trigger)
    command = make_command(planning.stages, state, instruction, planning.lexer)
    command.is_trigger = True
    return command


def _instruction(start: Node, trigger: str) -> Instruction:
    """The instruction of a trigger. Whatever is wrong with it, it is FROM that has brought it."""
    try:
        tree = parse(trigger.encode("utf-8", "surrogateescape"))
        if len(tree.nodes) != 1:
            raise error_at(start, "onbuild trigger should be a single expression")
        node = msgspec.structs.replace(
            tree.nodes[0], start_line=start.start_line, end_line=start.end_line, segments=(), comments=()
        )
        return parse_instruction(node)
    except DockerfileError as error:
        raise error_at(start, f"ONBUILD {trigger.partition(chr(10))[0]}: {error.reason}") from None
