"""One pattern of a .dockerignore file, as BuildKit's library for them (moby/patternmatcher) reads it.

That library turns a pattern into a regular expression, and what that expression means is what counts, with
all its corners: `**` may stand anywhere, `[^a]` may match a slash, `\\d` is a digit. So a pattern becomes the
same tokens here. Those of the usual shape are run by `re`, in a form that cannot go back and forth without
end; all others by an automaton, character by character.
"""

from __future__ import annotations

import itertools
import re

import msgspec

_SLASH = "/"


class BadPattern(ValueError):
    """A pattern whose syntax is wrong."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"syntax error in pattern {pattern!r}")


class Literal(msgspec.Struct, frozen=True):
    character: str


class CharacterClass(msgspec.Struct, frozen=True):
    """`expression` is one of `re`'s; `many`: any number of them."""

    expression: str
    many: bool = False

    def has(self, character: str) -> bool:
        return re.fullmatch(self.expression, character) is not None


class AnyDirectories(msgspec.Struct, frozen=True):
    """`**`: nothing, or anything that ends with a slash and has no line feed."""


class AnyTail(msgspec.Struct, frozen=True):
    """`**` at the end: anything without a line feed."""


class Beginning(msgspec.Struct, frozen=True):
    """`^` in a pattern that has wildcards as well: the beginning of the path."""


Token = Literal | CharacterClass | AnyDirectories | AnyTail | Beginning

STAR = CharacterClass("[^/]", many=True)
"""`*`: anything up to the next slash."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """What a pattern matches. `exact`, `prefix` and `suffix` are compared as they are; `tokens` otherwise,
    with `deepest`: so many slashes has a path that they match, at the most (None: any number)."""

    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    tokens: tuple[Token, ...] = ()
    deepest: int | None = None

    def can_match_below(self, directory: str) -> bool:
        """Whether there can be a path in `directory`, however deep, that it matches. Not for `exact`."""
        below = directory + _SLASH
        if self.deepest is not None and self.deepest < below.count(_SLASH):
            return False
        start = self._literal_start()
        return start.startswith(below) or below.startswith(start)

    def _literal_start(self) -> str:
        """What each path begins with that it matches."""
        if self.suffix is not None:
            return ""
        if self.prefix is not None:
            return self.prefix
        literals = itertools.takewhile(lambda token: isinstance(token, Literal), self.tokens)
        return "".join(token.character for token in literals if isinstance(token, Literal))


def compile_pattern(pattern: str) -> Pattern:
    """`pattern` is clean and has no `!`. Raises BadPattern."""
    _check_syntax(pattern)
    wildcards, tokens = _Scanner(pattern).scan()
    if wildcards == "exact":
        return Pattern(exact=pattern)
    if wildcards == "prefix":
        return Pattern(prefix=pattern[:-2])
    if wildcards == "suffix":
        return Pattern(suffix=pattern[2:])
    return Pattern(tokens=tokens, deepest=_deepest(tokens))


def _deepest(tokens: tuple[Token, ...]) -> int | None:
    count = 0
    for token in tokens:
        if isinstance(token, AnyDirectories | AnyTail):
            return None
        if isinstance(token, CharacterClass) and token.has(_SLASH):
            if token.many:
                return None
            count += 1
        elif token == Literal(_SLASH):
            count += 1
    return count


def _check_syntax(pattern: str) -> None:
    """Go's filepath.Match accepts it."""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "\\":
            if position == len(pattern):
                raise BadPattern(pattern)
            position += 1
        elif character == "[":
            position = _class_end(pattern, position)


def _class_end(pattern: str, position: int) -> int:
    """The end of the class whose `[` is before `position`, as filepath.Match reads it."""
    if pattern.startswith("^", position):
        position += 1
    count = 0
    while not (count and pattern.startswith("]", position)):
        position = _class_character(pattern, position)
        if pattern.startswith("-", position):
            position = _class_character(pattern, position + 1)
        count += 1
    return position + 1


def _class_character(pattern: str, position: int) -> int:
    character = pattern[position : position + 1]
    if character in ("", "-", "]"):
        raise BadPattern(pattern)
    if character == "\\":
        position += 1
    if position + 1 >= len(pattern):
        raise BadPattern(pattern)
    return position + 1


class _Scanner:
    """Takes a pattern apart: first into the text of the regular expression that it means, then that into
    tokens (in a class, a star is one of the class's characters only after that)."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def scan(self) -> tuple[str, tuple[Token, ...]]:
        """What kind of pattern it is (exact, prefix, suffix or tokens), and its tokens."""
        kind, expression = self._expression()
        return kind, self._tokens(expression) if kind == "tokens" else ()

    def _expression(self) -> tuple[str, str]:
        pattern = self._pattern
        kind = "exact"
        parts: list[str] = []
        position = 0
        while position < len(pattern):
            character = pattern[position]
            first = position == 0
            position += 1
            if character == "*" and pattern.startswith("*", position):
                position += 1
                position += pattern.startswith(_SLASH, position)
                if position < len(pattern):
                    parts.append("(.*/)?")
                    kind = "tokens"
                elif kind == "exact":
                    kind = "prefix"
                else:
                    parts.append(".*")
                    kind = "tokens"
                if first:
                    kind = "suffix"
            elif character in "*?":
                parts.append("[^/]*" if character == "*" else "[^/]")
                kind = "tokens"
            elif character == "\\":
                parts.append(character + pattern[position : position + 1])
                position += 1
                kind = "tokens"
            elif character in "[]":
                parts.append(character)
                kind = "tokens"
            else:
                parts.append("\\" + character if character in ".+()|{}$" else character)
        return kind, "".join(parts)

    def _tokens(self, expression: str) -> tuple[Token, ...]:
        tokens: list[Token] = []
        position = 0
        while position < len(expression):
            character = expression[position]
            if expression.startswith("(.*/)?", position):
                tokens.append(AnyDirectories())
                position += 6
            elif character == ".":
                tokens.append(AnyTail())
                position += 2
            elif character == "\\":
                tokens.append(self._escape(expression[position + 1]))
                position += 2
            elif character == "[":
                inner, position = self._class(expression, position + 1)
                many = expression.startswith("*", position)
                position += many
                tokens.append(CharacterClass(inner, many))
            elif character == "^":
                tokens.append(Beginning())
                position += 1
            else:
                tokens.append(Literal(character))
                position += 1
        return tuple(tokens)

    def _escape(self, character: str) -> Token:
        if character in _PERL_CLASSES:
            return CharacterClass(f"[{_PERL_CLASSES[character]}]")
        return Literal(self._escaped(character))

    def _escaped(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum() or not character.isascii():
            raise BadPattern(self._pattern)
        return character

    def _class(self, expression: str, position: int) -> tuple[str, int]:
        """The class whose `[` is before `position`, as a regular expression has it."""
        parts = ["["]
        if expression.startswith("^", position):
            parts.append("^")
            position += 1
        first = True
        while first or not expression.startswith("]", position):
            if position >= len(expression):
                raise BadPattern(self._pattern)
            first = False
            named = _NAMED_CLASS.match(expression, position)
            if named is not None:
                parts.append(self._named(named))
                position = named.end()
            elif expression[position] == "\\" and expression[position + 1 : position + 2] in _PERL_CLASSES:
                parts.append(_PERL_CLASSES[expression[position + 1]])
                position += 2
            else:
                part, position = self._range(expression, position)
                parts.append(part)
        return "".join(parts) + "]", position + 1

    def _named(self, named: re.Match[str]) -> str:
        characters = _POSIX_CLASSES.get(named[2])
        if characters is None or named[1]:
            raise BadPattern(self._pattern)
        return characters

    def _range(self, expression: str, position: int) -> tuple[str, int]:
        low, position = self._class_character(expression, position)
        if not expression.startswith("-", position) or expression[position + 1 : position + 2] in ("", "]"):
            return re.escape(low), position
        high, position = self._class_character(expression, position + 1)
        if high < low:
            raise BadPattern(self._pattern)
        return f"{re.escape(low)}-{re.escape(high)}", position

    def _class_character(self, expression: str, position: int) -> tuple[str, int]:
        character = expression[position]
        if character != "\\":
            return character, position + 1
        return self._escaped(expression[position + 1 : position + 2]), position + 2


_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PERL_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t\n\f\r ",
    "D": "\\x00-/:-\U0010ffff",
    "W": "\\x00-/:-@\\[-\\^`{-\U0010ffff",
    "S": "\\x00-\\x08\\x0b\\x0e-\\x1f!-\U0010ffff",
}
_NAMED_CLASS = re.compile(r"\[:(\^?)(\w*):\]", re.ASCII)
_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
