"""Instructions with their variables expanded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import TypeVar, cast

import msgspec

from corten.build.instructions.mounts import Expander, parse_mount
from corten.build.instructions.types import (
    Add,
    Arg,
    Copy,
    Definition,
    Env,
    InlineFile,
    Instruction,
    KeyValue,
    Label,
    Mount,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from corten.build.parser.source_error import error_at
from corten.build.parser.words import WordError

_Any = TypeVar("_Any", bound=Instruction)


def expand(instruction: _Any, word: Expander, raw: Expander) -> _Any:
    """`instruction` with those fields expanded that its class names; `word` expands one word, `raw` the
    data of a here-document (where quotes and escapes mean nothing). Raises DockerfileError.

    EXPOSE and FROM come back as they were: their words are for the plan (`WordLexer.split`; the global
    ARGs only).
    """
    try:
        return cast(_Any, _expand(instruction, word, raw))
    except (WordError, ValueError) as error:
        raise error_at(instruction.node, str(error)) from error


@singledispatch
def _expand(instruction: Instruction, word: Expander, raw: Expander) -> Instruction:
    return instruction


def _each(values: Iterable[str], expander: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(map(expander, values))


def _pairs(pairs: tuple[KeyValue, ...], word: Expander) -> tuple[KeyValue, ...]:
    return tuple(KeyValue(word(pair.key), word(pair.value), pair.legacy) for pair in pairs)


def _files(files: tuple[InlineFile, ...], raw: Expander) -> tuple[InlineFile, ...]:
    return tuple(InlineFile(file.path, raw(file.data), True) if file.expand else file for file in files)


@_expand.register
def _env(instruction: Env, word: Expander, raw: Expander) -> Env:
    return msgspec.structs.replace(instruction, variables=_pairs(instruction.variables, word))


@_expand.register
def _label(instruction: Label, word: Expander, raw: Expander) -> Label:
    return msgspec.structs.replace(instruction, labels=_pairs(instruction.labels, word))


@_expand.register
def _copy(instruction: Copy, word: Expander, raw: Expander) -> Copy:
    return msgspec.structs.replace(
        instruction,
        chown=word(instruction.chown),
        chmod=word(instruction.chmod),
        sources=_each(instruction.sources, word),
        destination=word(instruction.destination),
        files=_files(instruction.files, raw),
    )


@_expand.register
def _add(instruction: Add, word: Expander, raw: Expander) -> Add:
    return msgspec.structs.replace(
        instruction,
        chown=word(instruction.chown),
        chmod=word(instruction.chmod),
        checksum=word(instruction.checksum),
        sources=_each(instruction.sources, word),
        destination=word(instruction.destination),
        files=_files(instruction.files, raw),
    )


@_expand.register
def _run(instruction: Run, word: Expander, raw: Expander) -> Run:
    def expanded(mount: Mount) -> Mount:
        try:
            return parse_mount(mount.text, word)
        except (WordError, ValueError) as error:
            raise error_at(instruction.node, str(error), mount.text) from error

    return msgspec.structs.replace(instruction, mounts=tuple(map(expanded, instruction.mounts)))


@_expand.register
def _arg(instruction: Arg, word: Expander, raw: Expander) -> Arg:
    definitions = tuple(
        Definition(
            word(definition.name),
            None if definition.value is None else word(definition.value),
            definition.comment,
        )
        for definition in instruction.definitions
    )
    return msgspec.structs.replace(instruction, definitions=definitions)


@_expand.register
def _user(instruction: User, word: Expander, raw: Expander) -> User:
    return msgspec.structs.replace(instruction, user=word(instruction.user))


@_expand.register
def _volume(instruction: Volume, word: Expander, raw: Expander) -> Volume:
    return msgspec.structs.replace(instruction, paths=_each(instruction.paths, word))


@_expand.register
def _workdir(instruction: Workdir, word: Expander, raw: Expander) -> Workdir:
    return msgspec.structs.replace(instruction, path=word(instruction.path))


@_expand.register
def _stop_signal(instruction: StopSignal, word: Expander, raw: Expander) -> StopSignal:
    return msgspec.structs.replace(instruction, signal=word(instruction.signal))
