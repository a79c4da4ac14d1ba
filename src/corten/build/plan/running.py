"""RUN."""

from __future__ import annotations

from collections.abc import Mapping

from corten.build.graph import Exec
from corten.build.instructions.types import Run
from corten.build.parser.heredocs import chomped, parse_heredoc
from corten.build.parser.source_error import error_at
from corten.build.parser.words import WordError, WordLexer
from corten.build.plan.config_instructions import with_shell
from corten.build.plan.mounts import MountPlan
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.vertices import heredoc_file, heredoc_summary, with_upper_keyword

_PIPES = "/dev/pipes/"


def plan_run(planning: Planning, state: StageState, instruction: Run, command: Command) -> None:
    """One layer with what the process changes."""
    if not state.environment.is_written:
        planning.charge_variables(instruction.lines, len(state.environment))
    script = _Script(state, instruction)
    mounts = MountPlan(planning, state, instruction, command)
    if not script.arguments and not planning.options.all_stages:
        raise error_at(instruction.node, "RUN has no command: arguments are required")
    process = Exec(
        args=tuple(script.arguments),
        environment=state.environment.entries() + _agent_variable(state, mounts),
        directory=state.directory or "/",
        user=state.user,
        hostname=planning.hostname,
        mounts=tuple(mounts.mounts),
        network=instruction.network if instruction.network != "default" else planning.options.network,
        security=instruction.security,
        extra_hosts=planning.options.hosts,
        devices=_devices(planning, instruction),
        proxy=planning.proxy,
        limits=planning.options.limits,
        here_documents=script.files,
    )
    state.vertex = planning.vertices.make(
        process,
        (state.vertex, *mounts.inputs.vertices),
        name=_name(planning, state, instruction, command, script),
        stage=state.label,
        lines=instruction.lines,
        ignore_cache=state.ignore_cache,
        epoch=planning.layer_epoch(state),
    )
    planning.commit(state, instruction.lines, f"RUN {_history(state, script)} # buildkit", state.vertex)


class _Script:
    """What is run: `arguments`, with `files` (name, contents, mode); `summary` is the first line of a
    here-document that is the whole command."""

    def __init__(self, state: StageState, instruction: Run) -> None:
        command = instruction.command
        self.files: tuple[tuple[str, bytes, int], ...] = ()
        self.summary = ""
        words = command.arguments
        if command.files:
            words = self._with_heredocs(instruction)
        self.arguments = with_shell(state, words) if command.shell else list(words)

    def _with_heredocs(self, instruction: Run) -> tuple[str, ...]:
        command = instruction.command
        line = command.arguments[0] if command.arguments else ""
        first = command.files[0]
        if not _is_heredoc(line):
            return ("".join([line, *[f"\n{file.data}{file.name}" for file in command.files]]),)
        data = chomped(first.data) if first.chomp else first.data
        self.summary = heredoc_summary(first.data)
        if not data.startswith("#!"):
            return (data,)
        name = heredoc_file(instruction.node, first.name)
        self.files = ((name, data.encode("utf-8", "surrogateescape"), 0o755),)
        return (_PIPES + name,)


def _is_heredoc(line: str) -> bool:
    try:
        return parse_heredoc(line) is not None
    except WordError:
        return False


def _agent_variable(state: StageState, mounts: MountPlan) -> tuple[str, ...]:
    if mounts.agent_socket and "SSH_AUTH_SOCK" not in state.environment:
        return (f"SSH_AUTH_SOCK={mounts.agent_socket}",)
    return ()


def _devices(planning: Planning, instruction: Run) -> tuple[tuple[str, bool], ...]:
    own = tuple((device.name, device.required) for device in instruction.devices)
    return (*planning.options.devices, *own)


def _name(planning: Planning, state: StageState, instruction: Run, command: Command, script: _Script) -> str:
    lexer = WordLexer(escape=planning.lexer.escape, keep_quotes=True, keep_missing=True)
    text = instruction.code + (f" ({script.summary})" if script.summary else "")
    shown = planning.shown(text, _without_secrets(state, instruction), lexer)
    return planning.step_name(state, with_upper_keyword(shown), state.environment, command)


def _without_secrets(state: StageState, instruction: Run) -> Mapping[str, str]:
    """Variables with what comes from secrets as `****`: not to hide it (it is not known here), but to say
    where it comes from."""
    masked = {mount.env: "****" for mount in instruction.mounts if mount.env}
    return {**state.environment, **masked} if masked else state.environment


def _history(state: StageState, script: _Script) -> str:
    """The command, behind the ARGs that it could see: `|1 VERSION=2 /bin/sh -c make`."""
    values = [
        f"{name}={state.environment.get(name, value or '')}" for name, value in state.build_args.items()
    ]
    counted = [f"|{len(values)}", *values] if values else []
    return " ".join([*counted, *script.arguments])
