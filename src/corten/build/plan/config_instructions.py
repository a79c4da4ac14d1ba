"""Instructions that change the image's config and no file."""

from __future__ import annotations

import re

from corten.build.instructions.types import (
    Arg,
    Cmd,
    CommandLine,
    Definition,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    KeyValue,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
)
from corten.build.lint.rules import (
    EXPOSE_INVALID_FORMAT,
    EXPOSE_PROTO_CASING,
    JSON_ARGS_RECOMMENDED,
    LEGACY_KEY_VALUE_FORMAT,
    MULTIPLE_INSTRUCTIONS_DISALLOWED,
)
from corten.build.lint.variables import report_secret
from corten.build.parser.source_error import error_at
from corten.build.parser.words import WordError
from corten.build.plan.go_values import duration, plain_list, quoted_list
from corten.build.plan.outline_record import DeclaredArgument
from corten.build.plan.planning import NOT_ENVIRONMENT, Planning
from corten.build.plan.ports import PortSpec, exposed_ports
from corten.build.plan.stage_state import StageState
from corten.errors import InvalidArgument
from corten.oci.image_config import HealthConfig

_SIGNAL_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_SIGNALS = re.compile(
    "ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|"
    "TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|"
    r"RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?"
)


def plan_env(planning: Planning, state: StageState, instruction: Env) -> None:
    """ENV."""
    for variable in instruction.variables:
        _check_notation(planning, instruction, variable)
        report_secret(planning.linter, instruction.node, variable.key)
        state.environment.assign(variable.key, variable.value)
        state.draft.environment.assign(variable.key, variable.value)
    planning.commit(state, instruction.lines, _assignments("ENV", instruction.variables))


def plan_label(planning: Planning, state: StageState, instruction: Label) -> None:
    """LABEL."""
    for label in instruction.labels:
        _check_notation(planning, instruction, label)
        state.draft.labels[label.key] = label.value
    planning.commit(state, instruction.lines, _assignments("LABEL", instruction.labels))


def _check_notation(planning: Planning, instruction: Instruction, pair: KeyValue) -> None:
    if pair.legacy:
        planning.linter.report(LEGACY_KEY_VALUE_FORMAT, instruction.node, instruction.keyword)


def _assignments(keyword: str, pairs: tuple[KeyValue, ...]) -> str:
    return " ".join([keyword, *[f"{pair.key}={pair.value}" for pair in pairs]])


def plan_arg(planning: Planning, state: StageState, instruction: Arg) -> None:
    """ARG: a value that was given, or else its own default, or else that of the ARG in front of FROM."""
    texts: list[str] = []
    for definition in instruction.definitions:
        name = definition.name
        report_secret(planning.linter, instruction.node, name)
        value, is_inherited = _argument(planning, state, instruction, definition)
        if value is not None and name not in NOT_ENVIRONMENT:
            state.environment.assign(name, value)
        if not is_inherited:
            state.outline.declared[name] = DeclaredArgument(definition, value or "", instruction.lines)
        state.outline.used.add(name)
        state.build_args[name] = value
        texts.append(name if value is None else f"{name}={value}")
    planning.commit(state, instruction.lines, f"ARG {' '.join(texts)}")


def _argument(
    planning: Planning, state: StageState, instruction: Arg, definition: Definition
) -> tuple[str | None, bool]:
    """The value, and whether it is that of a global ARG."""
    if definition.name in planning.build_args:
        return planning.build_args[definition.name], False
    if definition.value is None:
        value = planning.global_args.get(definition.name)
        return value, value is not None
    try:
        return planning.expand_word(state, instruction, definition.value), False
    except WordError as error:
        raise error_at(instruction.node, str(error), definition.value) from None


def plan_cmd(planning: Planning, state: StageState, instruction: Cmd) -> None:
    """CMD."""
    _only_last_counts(planning, state, instruction)
    arguments = _command(planning, state, instruction, instruction.command)
    state.draft.cmd = arguments
    state.draft.args_escaped = True
    planning.commit(state, instruction.lines, f"CMD {quoted_list(arguments)}")


def plan_entrypoint(planning: Planning, state: StageState, instruction: Entrypoint) -> None:
    """ENTRYPOINT. It takes the CMD of the base away, as that was meant for another program."""
    _only_last_counts(planning, state, instruction)
    arguments = _command(planning, state, instruction, instruction.command)
    state.draft.entrypoint = arguments
    if "cmd" not in state.last:
        state.draft.cmd = None
    planning.commit(state, instruction.lines, f"ENTRYPOINT {quoted_list(arguments)}")


def _only_last_counts(planning: Planning, state: StageState, instruction: Instruction) -> None:
    before = state.last.get(instruction.name)
    if before is not None:
        planning.linter.report(MULTIPLE_INSTRUCTIONS_DISALLOWED, before, instruction.keyword)
    state.last[instruction.name] = instruction.node


def _command(
    planning: Planning, state: StageState, instruction: Instruction, command: CommandLine
) -> list[str]:
    if not command.shell:
        return list(command.arguments)
    if not state.draft.shell:
        planning.linter.report(JSON_ARGS_RECOMMENDED, instruction.node, instruction.keyword)
    return with_shell(state, command.arguments)


def with_shell(state: StageState, arguments: tuple[str, ...]) -> list[str]:
    """A command in shell form as the process that it is."""
    return [*state.draft.default_shell, " ".join(arguments)]


def plan_healthcheck(planning: Planning, state: StageState, instruction: Healthcheck) -> None:
    """HEALTHCHECK."""
    _only_last_counts(planning, state, instruction)
    state.draft.healthcheck = HealthConfig(
        test=list(instruction.test),
        interval=instruction.interval,
        timeout=instruction.timeout,
        start_period=instruction.start_period,
        start_interval=instruction.start_interval,
        retries=instruction.retries,
    )
    planning.commit(
        state,
        instruction.lines,
        f"HEALTHCHECK {{Test:{plain_list(instruction.test)} Interval:{duration(instruction.interval)} "
        f"Timeout:{duration(instruction.timeout)} StartPeriod:{duration(instruction.start_period)} "
        f"StartInterval:{duration(instruction.start_interval)} Retries:{instruction.retries}}}",
    )


def plan_expose(planning: Planning, state: StageState, instruction: Expose) -> None:
    """EXPOSE."""

    def check(spec: PortSpec, word: str) -> None:
        if spec.protocol != spec.protocol.lower():
            planning.linter.report(EXPOSE_PROTO_CASING, instruction.node, word)
        if spec.address or spec.host:
            planning.linter.report(EXPOSE_INVALID_FORMAT, instruction.node, word)

    words = [word for port in instruction.ports for word in planning.expand_words(state, instruction, port)]
    try:
        ports = exposed_ports(words, check)
    except InvalidArgument as error:
        raise error_at(instruction.node, error.message) from None
    state.draft.exposed_ports.update(dict.fromkeys(ports))
    planning.commit(state, instruction.lines, f"EXPOSE {plain_list(ports)}")


def plan_user(planning: Planning, state: StageState, instruction: User) -> None:
    """USER."""
    state.user = state.draft.user = instruction.user
    planning.commit(state, instruction.lines, f"USER {instruction.user}")


def plan_volume(planning: Planning, state: StageState, instruction: Volume) -> None:
    """VOLUME."""
    if "" in instruction.paths:
        raise error_at(instruction.node, "VOLUME specified can not be an empty string")
    state.draft.volumes.update(dict.fromkeys(instruction.paths))
    planning.commit(state, instruction.lines, f"VOLUME {plain_list(instruction.paths)}")


def plan_stop_signal(planning: Planning, state: StageState, instruction: StopSignal) -> None:
    """STOPSIGNAL."""
    signal = instruction.signal
    is_number = _SIGNAL_NUMBER.fullmatch(signal) is not None and int(signal) != 0
    if not is_number and _SIGNALS.fullmatch(signal.upper().removeprefix("SIG")) is None:
        raise error_at(instruction.node, f"invalid signal: {signal}", signal)
    state.draft.stop_signal = signal
    planning.commit(state, instruction.lines, f"STOPSIGNAL {signal}")


def plan_shell(planning: Planning, state: StageState, instruction: Shell) -> None:
    """SHELL."""
    state.draft.shell = list(instruction.shell)
    planning.commit(state, instruction.lines, f"SHELL {plain_list(instruction.shell)}")


def plan_maintainer(planning: Planning, state: StageState, instruction: Maintainer) -> None:
    """MAINTAINER."""
    state.draft.author = instruction.maintainer
    planning.commit(state, instruction.lines, f"MAINTAINER {instruction.maintainer}")


def plan_onbuild(planning: Planning, state: StageState, instruction: Onbuild) -> None:
    """ONBUILD: no step of this image, so it has no history."""
    state.draft.triggers.append(instruction.expression)
