"""The instructions of stages with where they take files from."""

from __future__ import annotations

from corten.build.instructions.types import Add, Copy, Instruction, Run, Workdir
from corten.build.parser.source_error import error_at
from corten.build.parser.words import WordError, WordLexer
from corten.build.plan.named_contexts import SCRATCH
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.stages import StageTable

_STEPS = (Add, Copy, Run, Workdir)


def count_steps(state: StageState) -> int:
    """How many steps the progress shows for a stage: its base image, where it has one, and what changes
    its files."""
    stage = state.stage
    if stage is None:
        return 0
    begins = state.base_name != SCRATCH and state.base is None
    return begins + sum(isinstance(instruction, _STEPS) for instruction in stage.instructions)


def make_commands(stages: StageTable, lexer: WordLexer) -> None:
    """The commands of every stage. Images that COPY --from and mounts name are stages from then on."""
    for state in list(stages.states):
        if state.stage is not None:
            state.commands = [
                make_command(stages, state, instruction, lexer) for instruction in state.stage.instructions
            ]


def make_command(
    stages: StageTable, state: StageState, instruction: Instruction, lexer: WordLexer
) -> Command:
    """One of them, noted as a dependency of the stage."""
    sources: tuple[StageState, ...] = ()
    if isinstance(instruction, Copy) and instruction.from_stage:
        _forbid_variables(instruction, lexer)
        sources = (stages.source(instruction.node, instruction.from_stage),)
    elif isinstance(instruction, Run):
        sources = tuple(
            [
                stages.mount_source(instruction.node, mount.from_stage or SCRATCH)
                for mount in instruction.mounts
            ]
        )
    for source in sources:
        state.dependencies[source] = instruction.node
    return Command(instruction, sources)


def _forbid_variables(instruction: Copy, lexer: WordLexer) -> None:
    name = instruction.from_stage
    try:
        is_plain = lexer.expand(name).text == name
    except WordError as error:
        raise error_at(instruction.node, str(error), name) from None
    if not is_plain:
        raise error_at(
            instruction.node,
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from "
            "global scope as a workaround",
            name,
        )
