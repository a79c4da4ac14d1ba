"""From the syntax tree to instructions and stages."""

from __future__ import annotations

import re
from collections.abc import Callable

from corten.build.instructions.copying import parse_add, parse_copy
from corten.build.instructions.flags import read_flags
from corten.build.instructions.healthcheck import parse_healthcheck
from corten.build.instructions.running import command_line, parse_run
from corten.build.instructions.suggestion import suggestion
from corten.build.instructions.types import (
    Arg,
    Cmd,
    Definition,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Instruction,
    KeyValue,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import error_at
from corten.build.parser.syntax_tree import Node, SyntaxTree
from corten.build.parser.white_space import SPACE

_STAGE_NAME = re.compile("[a-z][a-z0-9_.-]*")


def parse_instruction(node: Node) -> Instruction:
    """The instruction of one node. Raises DockerfileError."""
    parse = _PARSERS.get(node.name)
    if parse is None:
        hint = suggestion(node.keyword, _PARSERS, fold_case=True)
        raise error_at(node, f"unknown instruction: {node.keyword}{hint}", node.keyword)
    return parse(node)


def parse_dockerfile(tree: SyntaxTree) -> Dockerfile:
    """The stages of a file, and the ARGs before them. Raises DockerfileError."""
    stages: list[Stage] = []
    arguments: list[Arg] = []
    start: From | None = None
    instructions: list[Instruction] = []
    for node in tree.nodes:
        instruction = parse_instruction(node)
        if isinstance(instruction, From):
            if start is not None:
                stages.append(Stage(start, tuple(instructions)))
            start, instructions = instruction, []
        elif start is not None:
            instructions.append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise error_at(node, "no build stage in current context: begin with FROM")
    if start is not None:
        stages.append(Stage(start, tuple(instructions)))
    return Dockerfile(tuple(stages), tuple(arguments), tree.escape)


def _at_least_one(node: Node) -> None:
    if not node.arguments:
        raise error_at(node, f"{node.name.upper()} requires at least one argument")


def _only_one(node: Node) -> str:
    if len(node.arguments) != 1:
        raise error_at(node, f"{node.name.upper()} requires exactly one argument")
    return node.arguments[0]


def _key_values(node: Node) -> tuple[KeyValue, ...]:
    read_flags(node)
    _at_least_one(node)
    triples = zip(*[iter(node.arguments)] * 3, strict=True)
    pairs = tuple(KeyValue(key, value, legacy=not separator) for key, value, separator in triples)
    if not all(pair.key for pair in pairs):
        raise error_at(node, f"{node.name.upper()} names can not be blank")
    return pairs


def _env(node: Node) -> Env:
    return Env(node=node, variables=_key_values(node))


def _label(node: Node) -> Label:
    return Label(node=node, labels=_key_values(node))


def _maintainer(node: Node) -> Maintainer:
    maintainer = _only_one(node)
    read_flags(node)
    return Maintainer(node=node, maintainer=maintainer)


def _from(node: Node) -> From:
    arguments = node.arguments
    stage_name = written_name = as_keyword = ""
    if len(arguments) == 3 and arguments[1].lower() == "as":
        as_keyword, written_name = arguments[1:]
        stage_name = written_name.lower()
        if not _STAGE_NAME.fullmatch(stage_name):
            raise error_at(
                node,
                f"invalid name for build stage: {quoted(written_name)}, "
                "name can't start with a number or contain symbols",
                written_name,
            )
    elif len(arguments) != 1:
        raise error_at(node, "FROM requires either one or three arguments")
    flags = read_flags(node, text=("platform",))
    return From(
        node=node,
        base=arguments[0],
        stage_name=stage_name,
        written_name=written_name,
        as_keyword=as_keyword,
        platform=flags.text("platform"),
        comment=_descriptions(node).get(stage_name, ""),
    )


def _descriptions(node: Node) -> dict[str, str]:
    """What comments above the instruction say of the names that they begin with."""
    descriptions: dict[str, str] = {}
    for comment in node.comments:
        name, space, description = comment.partition(" ")
        if space:
            descriptions.setdefault(name, description)
    return descriptions


def _onbuild(node: Node) -> Onbuild:
    if node.trigger is None:
        raise error_at(node, "ONBUILD requires at least one argument")
    read_flags(node)
    trigger = node.trigger.keyword.strip(SPACE).upper()
    if trigger == "ONBUILD":
        raise error_at(node, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise error_at(node, f"{trigger} isn't allowed as an ONBUILD trigger", node.trigger.keyword)
    blanks = "\t\n\f\r "
    expression = node.original.lstrip(blanks)[len("ONBUILD") :].lstrip(blanks)
    for heredoc in node.heredocs:
        expression += f"\n{heredoc.content}{heredoc.name}"
    return Onbuild(node=node, expression=expression)


def _workdir(node: Node) -> Workdir:
    path = _only_one(node)
    read_flags(node)
    return Workdir(node=node, path=path)


def _cmd(node: Node) -> Cmd:
    read_flags(node)
    return Cmd(node=node, command=command_line(node))


def _entrypoint(node: Node) -> Entrypoint:
    read_flags(node)
    return Entrypoint(node=node, command=command_line(node))


def _expose(node: Node) -> Expose:
    _at_least_one(node)
    read_flags(node)
    return Expose(node=node, ports=tuple(sorted(node.arguments)))


def _user(node: Node) -> User:
    user = _only_one(node)
    read_flags(node)
    return User(node=node, user=user)


def _volume(node: Node) -> Volume:
    _at_least_one(node)
    read_flags(node)
    paths = tuple(path.strip(SPACE) for path in node.arguments)
    if not all(paths):
        raise error_at(node, "VOLUME specified can not be an empty string")
    return Volume(node=node, paths=paths)


def _stop_signal(node: Node) -> StopSignal:
    # Flags of STOPSIGNAL and ARG are passed over, as BuildKit does it.
    return StopSignal(node=node, signal=_only_one(node))


def _arg(node: Node) -> Arg:
    _at_least_one(node)
    descriptions = _descriptions(node)
    definitions: list[Definition] = []
    for word in node.arguments:
        name, equals, value = word.partition("=")
        if equals and not name:
            raise error_at(node, "ARG names can not be blank", word)
        definitions.append(Definition(name, value if equals else None, descriptions.get(name, "")))
    return Arg(node=node, definitions=tuple(definitions))


def _shell(node: Node) -> Shell:
    read_flags(node)
    _at_least_one(node)
    if not node.json:
        raise error_at(node, "SHELL requires the arguments to be in JSON form")
    return Shell(node=node, shell=node.arguments)


_PARSERS: dict[str, Callable[[Node], Instruction]] = {
    "add": parse_add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": parse_copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": parse_healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": parse_run,
    "shell": _shell,
    "stopsignal": _stop_signal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
