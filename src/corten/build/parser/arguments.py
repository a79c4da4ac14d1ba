"""The arguments of an instruction, taken apart by the rules of its keyword."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from corten.build.parser.json_form import parse_json_form
from corten.build.parser.quotation import quoted
from corten.build.parser.white_space import BLANKS, SPACE, SPACES, replace_invalid


class Arguments(msgspec.Struct, frozen=True):
    values: tuple[str, ...]
    json: bool = False


def parse_arguments(name: str, rest: str, escape: str) -> Arguments:
    """The arguments of the instruction `name` (lower case, not `onbuild`), which are `rest`. Raises
    ValueError with what is wrong."""
    return _PARSERS.get(name, _ignore)(rest, escape)


def _ignore(rest: str, escape: str) -> Arguments:
    """What is no instruction has one empty argument: it becomes an error where instructions are made."""
    return Arguments(("",))


def _whole(rest: str, escape: str) -> Arguments:
    return Arguments((rest,) if rest else ())


def _blank_separated(rest: str, escape: str) -> Arguments:
    return Arguments(tuple(BLANKS.split(rest)) if rest else ())


def _json_or_whole(rest: str, escape: str) -> Arguments:
    strings = parse_json_form(rest)
    return _whole(rest, escape) if strings is None else Arguments(strings, json=True)


def _json_or_blank_separated(rest: str, escape: str) -> Arguments:
    strings = parse_json_form(rest)
    return _blank_separated(rest, escape) if strings is None else Arguments(strings, json=True)


def _healthcheck(rest: str, escape: str) -> Arguments:
    kind, *command = _SPACE_RUN.split(rest, 1)
    if not kind:
        return Arguments(())
    arguments = _json_or_whole(command[0] if command else "", escape)
    return Arguments((kind, *arguments.values), arguments.json)


def _words(rest: str, escape: str) -> Arguments:
    return Arguments(tuple(split_words(rest, escape)))


def _name_values(keyword: str) -> Callable[[str, str], Arguments]:
    def parse(rest: str, escape: str) -> Arguments:
        words = split_words(rest, escape)
        if not words:
            return Arguments(())
        if "=" not in words[0]:
            parts = BLANKS.split(rest, 1)
            if len(parts) < 2:
                raise ValueError(f"{keyword} must have two arguments")
            return Arguments((parts[0], parts[1], ""))
        values: list[str] = []
        for word in words:
            name, separator, value = word.partition("=")
            if not separator:
                raise ValueError(
                    f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value"
                )
            values += name, value, separator
        return Arguments(tuple(values))

    return parse


_SPACE_RUN = re.compile("[\t\n\v\f\r ]+")

_PARSERS: dict[str, Callable[[str, str], Arguments]] = {
    "add": _json_or_blank_separated,
    "arg": _words,
    "cmd": _json_or_whole,
    "copy": _json_or_blank_separated,
    "entrypoint": _json_or_whole,
    "env": _name_values("ENV"),
    "expose": _blank_separated,
    "from": _blank_separated,
    "healthcheck": _healthcheck,
    "label": _name_values("LABEL"),
    "maintainer": _whole,
    "run": _json_or_whole,
    "shell": _json_or_whole,
    "stopsignal": _whole,
    "user": _whole,
    "volume": _json_or_blank_separated,
    "workdir": _whole,
}

_WORD = {
    escape: re.compile(
        rf"""(?:[^'"{token}{SPACE}]++|{token}.|'[^']*+(?:'|\Z)"""
        rf"""|"(?:[^"{token}]++|{token}.)*+(?:"|\Z|(?={token}\Z)))++""",
        re.DOTALL,
    )
    for escape, token in (("\\", r"\\"), ("`", "`"))
}


def split_words(text: str, escape: str) -> list[str]:
    """Words with their quotes and escapes, as ENV, LABEL and ARG have them. An escape character at the
    very end is dropped."""
    text = replace_invalid(text)
    if "'" not in text and '"' not in text and escape not in text:
        return [word for word in SPACES.split(text) if word]
    return [match[0] for match in _WORD[escape].finditer(text)]
