"""The plan of one image: of one platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corten.build.instructions.types import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from corten.build.plan import config_instructions as config
from corten.build.plan.base_image import begin_with_files, resolve_bases
from corten.build.plan.commands import make_commands
from corten.build.plan.copying import plan_copy
from corten.build.plan.image_draft import time_text
from corten.build.plan.model import ImageResolver, PlannedImage
from corten.build.plan.planning import Planning
from corten.build.plan.platforms import DEFAULT_PATH, image_platform
from corten.build.plan.running import plan_run
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.stages import check_cycles, reachable
from corten.build.plan.triggers import add_triggers
from corten.build.plan.workdir import plan_workdir, set_directory

_WITHOUT_FILES: dict[type[Instruction], Callable[[Planning, StageState, Any], None]] = {
    Arg: config.plan_arg,
    Cmd: config.plan_cmd,
    Entrypoint: config.plan_entrypoint,
    Env: config.plan_env,
    Expose: config.plan_expose,
    Healthcheck: config.plan_healthcheck,
    Label: config.plan_label,
    Maintainer: config.plan_maintainer,
    Onbuild: config.plan_onbuild,
    Shell: config.plan_shell,
    StopSignal: config.plan_stop_signal,
    User: config.plan_user,
    Volume: config.plan_volume,
}
_WITH_FILES: dict[type[Instruction], Callable[[Planning, StageState, Any, Command], None]] = {
    Add: plan_copy,
    Copy: plan_copy,
    Run: plan_run,
    Workdir: plan_workdir,
}


async def resolve_stages(planning: Planning, images: ImageResolver, target: StageState) -> set[StageState]:
    """Works out which stages `target` needs, looks up what they begin with, and adds the triggers of their
    bases, until no trigger brings a new one."""
    stages = planning.stages
    make_commands(stages, planning.lexer)
    check_cycles(stages.states)
    if len(stages.states) == 1:
        stages.states[0].label = ""
    while True:
        needed = reachable(target)
        looked_up = stages.states if planning.options.all_stages else needed
        await resolve_bases(planning, images, stages.states, looked_up)
        if not add_triggers(planning, [state for state in stages.states if state in needed]):
            return needed


def plan_stages(planning: Planning, needed: set[StageState]) -> None:
    """Plans the instructions of every stage that is needed, in the order of the file."""
    for state in planning.stages.states:
        if planning.options.all_stages or (state in needed and not state.dispatched):
            _plan_stage(planning, state)


def _plan_stage(planning: Planning, state: StageState) -> None:
    _inherit(planning, state)
    state.dispatched = True
    if state.platform is None:
        state.platform = planning.target
    draft = state.draft
    if "PATH" not in draft.environment and state.platform.os != "windows":
        draft.environment.assign("PATH", DEFAULT_PATH)
    for name, value in draft.environment.items():
        state.environment.assign(name, value)
    if draft.working_directory:
        set_directory(state, draft.working_directory)
    state.user = draft.user or state.user
    for command in state.commands:
        _plan_command(planning, state, command)


def _inherit(planning: Planning, state: StageState) -> None:
    """What a stage has from the one that it is based on, its ARGs among it."""
    base = state.base
    if base is None:
        return
    lines = (state.node.start_line, state.node.end_line)
    planning.charge_variables(lines, len(base.environment) + len(base.build_args) + len(base.draft.labels))
    state.vertex = base.vertex
    state.platform = base.platform
    state.image = base.draft.child()
    state.base_image = base.base_image
    state.epoch = base.epoch
    state.directory = base.directory
    state.user = base.user
    state.workdir_set = base.workdir_set
    state.environment.inherit(base.environment)
    state.build_args.update(base.build_args)
    begin_with_files(planning, state, base)


def _plan_command(planning: Planning, state: StageState, command: Command) -> None:
    kind = type(command.instruction)
    instruction = command.instruction
    if kind is not Arg:  # what its defaults say does not count where a value was given
        instruction = planning.expanded(state, instruction)
    if kind in _WITHOUT_FILES:
        _WITHOUT_FILES[kind](planning, state, instruction)
    else:
        _WITH_FILES[kind](planning, state, instruction, command)


def finish_image(planning: Planning, target: StageState) -> PlannedImage:
    """The image that the target is."""
    begin_with_files(planning, target, target)
    draft = target.draft
    draft.labels.update(planning.options.labels)
    platform = image_platform(draft.platform) if draft.platform.os else planning.target
    if not planning.is_implicit:
        platform = planning.target
    draft.platform = platform
    epoch = planning.image_epoch(target)
    config, layers = draft.finish(None if epoch is None else time_text(epoch))
    return PlannedImage(
        platform=platform,
        target=target.vertex,
        config=config,
        layers=layers,
        stage=target.name,
        base=target.base_image,
        epoch=epoch,
    )
