"""SOURCE_DATE_EPOCH: a number of seconds, or the name of what has a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from corten.build.graph import GitSource, HttpSource, LocalSource
from corten.build.instructions.types import Add, Arg, Stage
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.parser.syntax_tree import Node
from corten.build.parser.words import WordError, WordLexer
from corten.build.plan.copying import is_http, url_filename
from corten.build.plan.git_url import parse_git_url
from corten.build.plan.model import LocalContext, PlanOptions, RemoteContext, SourceTimes
from corten.build.plan.named_contexts import SCRATCH, context_source, find_context
from corten.build.plan.outline_record import DeclaredArgument
from corten.errors import InvalidArgument
from corten.oci.digest import parse_digest
from corten.oci.platform import Platform

NAME = "SOURCE_DATE_EPOCH"
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_LATEST = 253_402_300_799

Source = LocalSource | GitSource | HttpSource


class RequestedEpoch(msgspec.Struct, frozen=True):
    """The value of SOURCE_DATE_EPOCH, empty for none; `lines` of the ARG that gives it (0: a build
    argument does)."""

    text: str
    lines: tuple[int, int] = (0, 0)


def requested(
    build_args: Mapping[str, str],
    global_args: Mapping[str, str],
    declared: Mapping[str, DeclaredArgument],
) -> RequestedEpoch:
    """What was given, as build argument or as default of a global ARG."""
    if NAME in build_args:
        return RequestedEpoch(build_args[NAME])
    lines = declared[NAME].lines if NAME in declared else (0, 0)
    return RequestedEpoch(global_args.get(NAME, ""), lines)


async def resolve_epoch(
    epoch: RequestedEpoch,
    options: PlanOptions,
    stages: Sequence[Stage],
    variables: Mapping[str, str],
    lexer: WordLexer,
    platform: Platform,
    times: SourceTimes | None,
) -> int | None:
    """Seconds since 1970. The value may be `context`, a named context, or a stage that does nothing but ADD
    one thing from elsewhere: then it is the time of that. None: there is no telling."""
    if not epoch.text:
        return None
    if _NUMBER.fullmatch(epoch.text):
        return min(max(int(epoch.text), 0), _LATEST)
    source = _source(epoch, options, stages, variables, lexer, platform)
    found = None if source is None or times is None else await times.time(source)
    return None if found is None else min(max(found, 0), _LATEST)


def _source(
    epoch: RequestedEpoch,
    options: PlanOptions,
    stages: Sequence[Stage],
    variables: Mapping[str, str],
    lexer: WordLexer,
    platform: Platform,
) -> Source | None:
    text = epoch.text
    if text == "context":
        return LocalSource("context", options.ignore)
    found = find_context(options.contexts, text, platform)
    if found is not None:
        name, context = found
        return context_source(name, context) if isinstance(context, LocalContext | RemoteContext) else None
    for stage in stages:
        if stage.name == text.lower():
            arguments = {name: value for name, value in variables.items() if name != NAME}
            try:
                return _StageSource(options, arguments, lexer).read(stage)
            except DockerfileError:
                raise
            except InvalidArgument as error:
                raise error_at(stage.start.node, error.message) from error
    reason = f"invalid {NAME}: {text} (expected seconds since 1970, context, a named context or a stage)"
    if epoch.lines[0]:
        raise DockerfileError(reason, epoch.lines[0], 1, end_line=epoch.lines[1])
    raise InvalidArgument(reason)


class _StageSource:
    """Reads the one thing that a stage adds."""

    def __init__(self, options: PlanOptions, variables: dict[str, str], lexer: WordLexer) -> None:
        self._options = options
        self._variables = variables
        self._lexer = lexer

    def _expand(self, node: Node, text: str) -> str:
        try:
            return self._lexer.expand(text, self._variables).text
        except WordError as error:
            raise error_at(node, str(error), text) from None

    def read(self, stage: Stage) -> Source:
        if self._expand(stage.start.node, stage.start.base) != SCRATCH:
            raise InvalidArgument(f"{NAME} stage must use FROM scratch")
        sources: list[Source] = []
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                self._declare(instruction)
            elif isinstance(instruction, Add):
                sources.append(self._added(instruction))
            else:
                raise error_at(
                    instruction.node,
                    f"{NAME} stage does not meet source-only requirements: unsupported "
                    f"{instruction.keyword} instruction",
                )
        if len(sources) != 1:
            raise InvalidArgument(f"{NAME} stage must contain exactly one remote ADD")
        return sources[0]

    def _declare(self, instruction: Arg) -> None:
        for definition in instruction.definitions:
            if definition.name in self._options.build_args:
                self._variables[definition.name] = self._options.build_args[definition.name]
            elif definition.value is not None:
                self._variables[definition.name] = self._expand(instruction.node, definition.value)

    def _added(self, add: Add) -> Source:
        if add.files or len(add.sources) != 1:
            raise InvalidArgument(f"{NAME} stage must contain exactly one remote ADD source")
        source = self._expand(add.node, add.sources[0])
        checksum = self._expand(add.node, add.checksum)
        repository = parse_git_url(source, known=add.keep_git_dir is not None)
        if repository is not None:
            return repository.source(keep_git_dir=add.keep_git_dir, checksum=checksum)
        if is_http(source):
            return HttpSource(source, url_filename(source), parse_digest(checksum) if checksum else "")
        raise InvalidArgument(f"{NAME} stage source must be a single HTTP(S) or Git ADD")
