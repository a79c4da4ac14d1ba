"""The parts of an instruction: its keyword, its flags, and the rest."""

from __future__ import annotations

import re

import msgspec

from corten.build.parser.white_space import BLANKS, SPACE

_BLANK = "\t\n\v\f\r "

_PLAIN = {
    (escape, quote): re.compile(f"[^{re.escape(escape)}{quote or _BLANK + QUOTES}]+")
    for QUOTES in ("'\"",)
    for escape in ("\\", "`")
    for quote in ("", "'", '"')
}


class CommandLine(msgspec.Struct, frozen=True):
    """`flags` with their dashes and without quotes."""

    keyword: str
    flags: tuple[str, ...]
    rest: str


def split_command(line: str, escape: str) -> CommandLine:
    """The parts of an instruction that stands on one line."""
    keyword, *rest = BLANKS.split(line.strip(SPACE), 1)
    if not rest:
        return CommandLine(keyword, (), "")
    if not rest[0].startswith("--"):
        return CommandLine(keyword, (), rest[0].strip(SPACE))
    flags, start = _flags(rest[0], escape)
    return CommandLine(keyword, flags, rest[0][start:].strip(SPACE))


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], int]:
    """The words at the start of `text` that begin with two dashes, and where the rest begins. `--` alone
    ends them, and belongs to neither."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _BLANK:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), position
        word, position = _word(text, position, escape)
        if word == "--":
            return tuple(flags), position
        flags.append(word)


def _word(text: str, position: int, escape: str) -> tuple[str, int]:
    """The word at `position`, without its quotes and escapes, and where it ends. A quote that nothing
    closes takes all; the escape character as the last one is dropped."""
    parts: list[str] = []
    quote = ""
    while position < len(text):
        if (run := _PLAIN[escape, quote].match(text, position)) is not None:
            parts.append(run[0])
            position = run.end()
            continue
        character = text[position]
        if not quote and character in _BLANK:
            break
        position += 1
        if character == quote:
            quote = ""
        elif character == escape:
            parts.append(text[position : position + 1])
            position += 1
        else:
            quote = character
    return "".join(parts), min(position, len(text))
