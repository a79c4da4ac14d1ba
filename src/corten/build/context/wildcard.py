"""Wildcards in the sources of COPY and ADD: the rules of Go's filepath.Match, component by component."""

from __future__ import annotations

import functools
import re

from corten.errors import InvalidArgument


def has_wildcard(text: str) -> bool:
    """Whether there is a `*`, `?` or `[` that no backslash stands in front of."""
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "*?[":
            return True
    return False


def split_wildcards(path: str) -> tuple[str, tuple[str, ...]]:
    """(the components in front of the first with a wildcard, as a path; the others)."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for position, part in enumerate(parts):
        if has_wildcard(part):
            return "/".join(parts[:position]), tuple(parts[position:])
    return "/".join(parts), ()


@functools.lru_cache(256)
def compile_component(pattern: str) -> re.Pattern[str]:
    """What matches the names that `pattern` (without a slash) matches; InvalidArgument for a bad pattern."""
    text = ""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            text += "[^/]*"
        elif char == "?":
            text += "[^/]"
        elif char == "[":
            part, position = _character_class(pattern, position)
            text += part
        elif char == "\\":
            if position == len(pattern):
                raise _bad(pattern, "it ends with a backslash")
            text += re.escape(pattern[position])
            position += 1
        else:
            text += re.escape(char)
    return re.compile(text, re.DOTALL)


def _character_class(pattern: str, position: int) -> tuple[str, int]:
    """What follows a `[`, as a regular expression, and where the pattern goes on."""
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges = ""
    while not (ranges and pattern[position : position + 1] == "]"):
        low, position = _class_character(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _class_character(pattern, position + 1)
        if low <= high:
            ranges += f"{re.escape(low)}-{re.escape(high)}"
        else:
            ranges += "\0-\0"  # Go allows it, and nothing lies in it: no name has a NUL
    return f"[{'^/' if negated else ''}{ranges}]", position + 1


def _class_character(pattern: str, position: int) -> tuple[str, int]:
    char = pattern[position : position + 1]
    if char in ("", "-", "]"):
        raise _bad(pattern, "a [ has no end" if not char else f"a {char} stands in [ ] without a backslash")
    if char != "\\":
        return char, position + 1
    if position + 1 == len(pattern):
        raise _bad(pattern, "it ends with a backslash")
    return pattern[position + 1], position + 2


def _bad(pattern: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"the pattern {pattern!r} is malformed: {why}")
