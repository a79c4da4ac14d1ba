"""Global ARGs: those in front of the first FROM, and those that need not be declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from corten.build.instructions.types import Arg
from corten.build.parser.source_error import error_at
from corten.build.parser.words import WordError, WordLexer
from corten.build.plan.outline_record import DeclaredArgument

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def global_arguments(
    predefined: Mapping[str, str],
    instructions: Iterable[Arg],
    lexer: WordLexer,
    build_args: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, DeclaredArgument]]:
    """The values, the predefined ones among them, and the declarations. Each default sees the values before
    it. Raises DockerfileError."""
    values = dict(predefined)
    declared: dict[str, DeclaredArgument] = {}
    for instruction in instructions:
        for definition in instruction.definitions:
            name = definition.name
            value, needs = definition.value, frozenset[str]()
            if name in build_args:
                value = build_args[name]
            elif value is not None:
                try:
                    expansion = lexer.expand(value, values)
                except WordError as error:
                    raise error_at(instruction.node, str(error), value) from None
                value, needs = expansion.text, expansion.used - {name}
                if name in expansion.used and name in declared:
                    needs |= declared[name].needs
            if value is not None:
                values.pop(name, None)
                values[name] = value
            declared[name] = DeclaredArgument(definition, value or "", instruction.lines, needs)
    return values, declared


def proxy_variables(build_args: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The proxies among the build arguments: in upper and in lower case, as programs want them."""
    given = {name.upper(): build_args[name] for name in sorted(build_args)}
    return tuple(
        [(variable, given[name]) for name in _PROXIES if given.get(name) for variable in (name, name.lower())]
    )
