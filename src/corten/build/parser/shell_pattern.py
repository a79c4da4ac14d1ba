"""Patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/…}`: `*` and `?`, no brackets;
neither of them matches a line feed.

Matching goes from piece to piece (what stands between stars has a fixed length), never back: as a star can
take up whatever lies between, the first place where a piece fits is as good as any later one.
"""

from __future__ import annotations

import re

_ANY = 0
_STAR = 1
_Token = str | int


class PatternError(ValueError):
    """An escape in a pattern of what needs none; a result that is too long."""


class ShellPattern:
    def __init__(self, pattern: str) -> None:
        self._tokens = _tokens(pattern)

    def trim_prefix(self, value: str, longest: bool) -> str:
        """`value` without what the pattern matches at its start: as much as possible, or as little."""
        end = _Pieces(self._tokens).end(value, 0, longest)
        return value if end is None else value[end:]

    def trim_suffix(self, value: str, longest: bool) -> str:
        """`value` without what the pattern matches at its end."""
        end = _Pieces(self._tokens[::-1]).end(value[::-1], 0, longest)
        return value if end is None else value[: len(value) - end]

    def replace(self, value: str, replacement: str, everywhere: bool, longest: int) -> str:
        """`value` with `replacement` for the first place that the pattern matches, or for all of them.
        Everywhere, a `$` has a meaning in `replacement`: see `_template`. Raises PatternError where the
        result would have more than `longest` characters."""
        pieces = _Pieces(self._tokens)
        if not everywhere:
            found = pieces.find(value, 0)
            return value if found is None else value[: found[0]] + replacement + value[found[1] :]
        result: list[str] = []
        length = copied = position = 0
        while position <= len(value):
            found = pieces.find(value, position)
            if found is None:
                break
            start, end = found
            result.append(value[copied:start])
            if end > copied or start == 0:  # not where nothing matches right behind a match
                result.append(_template(replacement, value[start:end]))
                length += len(result[-1])
            length += start - copied
            if length > longest:
                raise PatternError(f"the result has more than {longest} characters")
            copied = end
            position = max(position + 1, end)
        return "".join(result) + value[copied:]


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            tokens.append(_STAR)
        elif character == "?":
            tokens.append(_ANY)
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "?", "\\", "}", "/"):
                raise PatternError(f"invalid escape '\\{escaped}'")
            tokens.append(escaped)
        else:
            tokens.append(character)
    return tokens


class _Pieces:
    """The runs of tokens between stars, as regular expressions of a fixed length."""

    def __init__(self, tokens: list[_Token]) -> None:
        runs: list[list[_Token]] = [[]]
        for token in tokens:
            if token == _STAR:
                runs.append([])
            else:
                runs[-1].append(token)
        self._runs = [
            re.compile("".join("." if token == _ANY else re.escape(str(token)) for token in run))
            for run in runs
        ]

    def end(self, value: str, start: int, longest: bool) -> int | None:
        """Where a match ends that begins at `start`."""
        match = self._runs[0].match(value, start)
        for number in range(1, len(self._runs)):
            if match is None:
                return None
            if longest and number == len(self._runs) - 1:
                return self._last(value, match.end())
            match = _reachable(self._runs[number], value, match.end())
        return None if match is None else match.end()

    def _last(self, value: str, start: int) -> int | None:
        """The end of the last occurrence of the last piece that a star can reach from `start`."""
        run = self._runs[-1]
        line_end = value.find("\n", start)
        limit = len(value) if line_end < 0 else line_end
        for at in range(limit, start - 1, -1):
            match = run.match(value, at)
            if match is not None:
                return match.end()
        return None

    def find(self, value: str, position: int) -> tuple[int, int] | None:
        """The leftmost match that begins at `position` or later, as long as possible."""
        while match := self._runs[0].search(value, position):
            end = self.end(value, match.start(), longest=True)
            if end is not None:
                return match.start(), end
            # A star stops at the end of a line: what cannot be reached from here cannot be reached from
            # anywhere behind it in the same line either.
            line_end = value.find("\n", match.end())
            if line_end < 0:
                return None
            position = max(match.start() + 1, line_end - (match.end() - match.start()) + 1)
        return None


def _reachable(run: re.Pattern[str], value: str, start: int) -> re.Match[str] | None:
    """The first occurrence of `run` that a star reaches from `start`."""
    match = run.search(value, start)
    if match is None or value.find("\n", start, match.start()) >= 0:
        return None
    return match


_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)


def _template(replacement: str, matched: str) -> str:
    """`replacement` as BuildKit's library for regular expressions reads it: `$$` is a dollar sign, `$0`
    all that was matched, any other `$name` and `${name}` nothing."""

    def expanded(reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        return matched if (reference[1] or reference[2]) == "0" else ""

    return _REFERENCE.sub(expanded, replacement)
