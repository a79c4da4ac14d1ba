"""WORKDIR."""

from __future__ import annotations

from corten.build.graph import FileOperation, MakeDirectory
from corten.build.instructions.types import Workdir
from corten.build.lint.rules import WORKDIR_RELATIVE_PATH
from corten.build.parser.quotation import quoted
from corten.build.plan import paths
from corten.build.plan.owners import parse_owner
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.vertices import with_upper_keyword


def set_directory(state: StageState, path: str) -> None:
    """The working directory, of the image and of what runs from here on."""
    state.draft.working_directory = paths.working_directory(state.draft.working_directory, path)
    state.directory = state.draft.working_directory


def plan_workdir(planning: Planning, state: StageState, instruction: Workdir, command: Command) -> None:
    """The directory is made, and belongs to the user of the moment."""
    if not state.workdir_set and not instruction.path.startswith("/"):
        planning.linter.report(WORKDIR_RELATIVE_PATH, instruction.node, quoted(instruction.path))
    state.workdir_set = True
    set_directory(state, instruction.path)
    vertex = None
    if state.directory != "/":
        make = MakeDirectory(paths.clean(state.directory), owner=parse_owner(state.draft.user))
        text = with_upper_keyword(planning.shown(instruction.code, state.environment))
        vertex = planning.vertices.make(
            FileOperation((make,)),
            (state.vertex,),
            name=planning.step_name(state, text, state.environment, command),
            stage=state.label,
            lines=instruction.lines,
            epoch=planning.layer_epoch(state),
        )
        state.vertex = vertex
    planning.commit(state, instruction.lines, f"WORKDIR {state.directory}", vertex)
