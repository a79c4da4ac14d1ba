"""The FROM lines of a Dockerfile, with their variables: the stages that a plan begins with."""

from __future__ import annotations

from collections.abc import Collection

from corten.build.instructions.suggestion import suggestion
from corten.build.instructions.types import Dockerfile, Stage
from corten.build.lint.linter import Linter
from corten.build.lint.platforms import report_platform_flag
from corten.build.lint.rules import INVALID_DEFAULT_ARG_IN_FROM
from corten.build.lint.variables import report_undeclared
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.parser.words import Expansion, WordError, WordLexer
from corten.build.plan.arguments import global_arguments
from corten.build.plan.commands import count_steps
from corten.build.plan.named_contexts import find_context
from corten.build.plan.planning import Planning
from corten.build.plan.platforms import parse_platform
from corten.build.plan.stage_state import StageState
from corten.errors import InvalidArgument
from corten.oci.platform import Platform
from corten.oci.reference import Reference


def check_default_bases(
    linter: Linter, dockerfile: Dockerfile, predefined: dict[str, str], lexer: WordLexer
) -> None:
    """Reports each FROM that needs a build argument to name an image at all."""
    try:
        values, _ = global_arguments(predefined, dockerfile.arguments, lexer, {})
        for stage in dockerfile.stages:
            name = lexer.expand(stage.start.base, values).text
            if not _is_reference(name):
                linter.report(INVALID_DEFAULT_ARG_IN_FROM, stage.start.node, stage.start.base)
    except (DockerfileError, WordError):
        return  # reading the stages will tell


def _is_reference(name: str) -> bool:
    try:
        Reference.parse(name)
    except InvalidArgument:
        return False
    return True


def read_stages(planning: Planning, dockerfile: Dockerfile) -> None:
    """Adds a state for each stage. Raises DockerfileError."""
    known = planning.global_args.keys() | planning.declared.keys()
    for number, stage in enumerate(dockerfile.stages):
        planning.stages.add(_read(planning, stage, number, known))
        state = planning.stages.states[-1]
        if state.context is not None:
            state.base = None
        else:
            state.steps = count_steps(state)


def _read(planning: Planning, stage: Stage, number: int, known: Collection[str]) -> StageState:
    node = stage.start.node
    base = _expand(planning, stage, stage.start.base, known)
    if not base.text:
        raise error_at(node, f"base name ({stage.start.base}) should not be blank", stage.start.base)
    state = StageState(node, base.text, stage, label=stage.name or f"stage-{number}")
    state.outline.used |= base.used
    if stage.start.platform:
        state.platform = _platform(planning, state, stage, known)
    found = find_context(planning.options.contexts, stage.name, state.platform or planning.target)
    if stage.name and found is not None:
        state.context_name, state.context = found
    options = planning.options
    state.ignore_cache = options.no_cache or stage.name in {name.lower() for name in options.no_cache_filter}
    return state


def _expand(planning: Planning, stage: Stage, text: str, known: Collection[str]) -> Expansion:
    node = stage.start.node
    try:
        expansion = planning.lexer.expand(text, planning.global_args)
    except WordError as error:
        report_undeclared(planning.linter, node, error.missing, known)
        raise error_at(node, str(error), text) from None
    report_undeclared(planning.linter, node, expansion.missing, known)
    return expansion


def _platform(planning: Planning, state: StageState, stage: Stage, known: Collection[str]) -> Platform:
    node, written = stage.start.node, stage.start.platform
    expansion = _expand(planning, stage, written, known)
    variables = planning.global_args
    report_platform_flag(planning.linter, node, written, expansion, variables, stage.name)
    hint = next(filter(None, (suggestion(name, variables) for name in sorted(expansion.missing))), "")
    if not expansion.text:
        raise error_at(node, f"empty platform value from expression {written}{hint}", written)
    try:
        platform = parse_platform(expansion.text)
    except InvalidArgument as error:
        raise error_at(node, f"failed to parse platform {written}: {error.message}{hint}", written) from None
    state.outline.used |= expansion.used
    return platform
