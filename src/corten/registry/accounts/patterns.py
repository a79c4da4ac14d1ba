"""Patterns of repository names.

A pattern is for whole names. `*` stands for any characters but a slash, `?` for one of those, `**` for any
characters at all; none of them has to stand for something (but `?`). So `team/*` is every repository directly
in team, `team/**` every one at any depth, neither is `team` itself, and `**` is all of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corten.errors import InvalidArgument

MAX_PATTERN = 255
_GRAMMAR = re.compile(r"[a-z0-9._/*?-]+")
_TOKENS = re.compile(r"\*\*|.", re.DOTALL)


def check_pattern(text: str) -> str:
    """`text`, or InvalidArgument."""
    why = ""
    if len(text) > MAX_PATTERN:
        why = f"it has more than {MAX_PATTERN} characters"
    elif not _GRAMMAR.fullmatch(text):
        why = (
            "it has to be of lower-case letters, digits, '.', '_', '-', '/', and the wildcards '*', '**', '?'"
        )
    elif "***" in text or "//" in text or text.startswith("/") or text.endswith("/"):
        why = "no repository has such a name"
    if why:
        raise InvalidArgument(f"invalid repository pattern {text[:MAX_PATTERN]!r}: {why}")
    return text


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> tuple[str, ...]:
    return tuple(_TOKENS.findall(pattern))


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` is for the repository `name`; in time of the product of their lengths, whatever they
    are."""
    if pattern == "**" or pattern == name:
        return True
    tokens = _compiled(pattern)
    plain = next((i for i, token in enumerate(tokens) if token in ("*", "**", "?")), len(tokens))
    if not name.startswith(pattern[:plain]):
        return False
    reached = _closure({plain}, tokens)
    for character in name[plain:]:
        after: set[int] = set()
        for place in reached:
            if place == len(tokens):
                continue
            token = tokens[place]
            if token == "**" or (token == "*" and character != "/"):
                after.add(place)
            elif token == character or (token == "?" and character != "/"):
                after.add(place + 1)
        if not after:
            return False
        reached = _closure(after, tokens)
    return len(tokens) in reached


def _closure(places: set[int], tokens: tuple[str, ...]) -> set[int]:
    """With the places behind wildcards that stand for nothing."""
    found = set(places)
    for place in places:
        while place < len(tokens) and tokens[place] in ("*", "**"):
            place += 1
            found.add(place)
    return found
