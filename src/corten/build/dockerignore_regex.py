"""How the tokens of a pattern of .dockerignore are run: by `re` where they have the usual shape, by an
automaton otherwise. Both take time that grows with the length of the path, and no faster."""

from __future__ import annotations

import re
from collections.abc import Iterable

from corten.build.dockerignore_pattern import (
    STAR,
    AnyDirectories,
    AnyTail,
    Beginning,
    CharacterClass,
    Literal,
    Token,
)

_SLASH = Literal("/")


def expression(tokens: tuple[Token, ...]) -> str | None:
    """An expression for `re.fullmatch`, right for paths without line feeds; None: not of the usual shape,
    which is: `**` only behind a slash or at the start or the end, and only `**` goes across slashes.

    In that shape a segment ends where it must, and behind a `**` the first place where what follows fits
    is as good as any later one, up to the next `**`: so both are atomic groups.
    """
    groups: list[list[Token]] = [[]]
    for index, token in enumerate(tokens):
        match token:
            case AnyDirectories():
                if index and tokens[index - 1] != _SLASH:
                    return None
                groups.append([])
                continue
            case AnyTail():
                if index + 1 < len(tokens):
                    return None
            case CharacterClass():
                if token != STAR and (token.many or token.has("/")):
                    return None
            case Beginning():
                return None
        groups[-1].append(token)
    first, *others = groups
    parts = [_segments(first)]
    for group in others[:-1]:
        parts.append(f"(?>(?:.*?/)??{_segments(group)})")
    for group in others[-1:]:
        parts.append(f"(?:.*/)?{_segments(group)}")
    return "".join(parts)


def _segments(tokens: list[Token]) -> str:
    segments: list[list[Token]] = [[]]
    for token in tokens:
        if token == _SLASH:
            segments.append([])
        else:
            segments[-1].append(token)
    return "/".join(map(_segment, segments))


def _segment(tokens: list[Token]) -> str:
    """What stands between two slashes. Only its last star may take more than it needs at first."""
    pieces: list[list[Token]] = [[]]
    for token in tokens:
        if token == STAR:
            pieces.append([])
        else:
            pieces[-1].append(token)
    first, *others = ["".join(map(_one, piece)) for piece in pieces]
    early = "".join(f"(?>[^/]*?{piece})" for piece in others[:-1])
    return first + early + "".join(f"[^/]*{piece}" for piece in others[-1:])


def _one(token: Token) -> str:
    match token:
        case Literal(character):
            return re.escape(character)
        case CharacterClass(inner):
            return inner
        case _:
            return ".*"


class Automaton:
    """All tokens, and all paths. States count the tokens that have been passed; inside of `**` there is
    one of its own, a negative number."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._classes = {
            index: re.compile(token.expression)
            for index, token in enumerate(tokens)
            if isinstance(token, CharacterClass)
        }

    def matches(self, path: str) -> bool:
        states = self._closed((0,), at_start=True)
        for character in path:
            states = self._closed(self._step(states, character), at_start=False)
            if not states:
                return False
        return len(self._tokens) in states

    def _closed(self, states: Iterable[int], *, at_start: bool) -> set[int]:
        """With what can be reached from `states` without reading anything."""
        closed: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state in closed:
                continue
            closed.add(state)
            if not 0 <= state < len(self._tokens):
                continue
            match self._tokens[state]:
                case AnyDirectories():
                    todo += [state + 1, ~state]
                case AnyTail() | CharacterClass(many=True):
                    todo.append(state + 1)
                case Beginning() if at_start:
                    todo.append(state + 1)
        return closed

    def _step(self, states: set[int], character: str) -> set[int]:
        following: set[int] = set()
        for state in states:
            if state < 0:
                if character != "\n":
                    following.add(state)
                if character == "/":
                    following.add(~state + 1)
            elif state < len(self._tokens):
                token = self._tokens[state]
                match token:
                    case Literal(expected):
                        if character == expected:
                            following.add(state + 1)
                    case CharacterClass():
                        if self._classes[state].match(character):
                            following.add(state if token.many else state + 1)
                    case AnyTail():
                        if character != "\n":
                            following.add(state)
        return following
