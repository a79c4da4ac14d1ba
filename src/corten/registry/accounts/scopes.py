"""Scopes of Docker's token flow: `repository:team/app:pull,push` (distribution, "Token Scope Documentation").

What is malformed, of another type or of another action asks for nothing that exists here, and is granted as
little: it is no error, as a client may ask more than one service in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from corten.registry.access import Action
from corten.registry.accounts.permissions import WORDS
from corten.registry.names import is_repository

CATALOG = "registry:catalog:*"
_EVERY = frozenset(WORDS.values())


class Asked(msgspec.Struct, frozen=True):
    """What a client wants a token for."""

    repositories: Mapping[str, frozenset[Action]]
    catalog: bool = False


def parse(texts: Iterable[str]) -> Asked:
    """Every scope in `texts`, each of which may hold several, separated by spaces."""
    repositories: dict[str, frozenset[Action]] = {}
    catalog = False
    for text in texts:
        for scope in text.split(" "):
            kind, _, rest = scope.partition(":")
            name, _, words = rest.rpartition(":")
            if scope == CATALOG:
                catalog = True
            elif kind in ("repository", "repository(plugin)") and is_repository(name):
                wanted = _actions(words)
                if wanted:
                    repositories[name] = repositories.get(name, frozenset()) | wanted
    return Asked(repositories, catalog)


def _actions(words: str) -> frozenset[Action]:
    names = words.split(",")
    return _EVERY if "*" in names else frozenset(WORDS[name] for name in names if name in WORDS)


def words_of(actions: Iterable[Action]) -> list[str]:
    """`["pull", "push"]`, always in the same order."""
    wanted = set(actions)
    return [word for word, action in WORDS.items() if action in wanted]


def text_of(asked: Asked) -> str:
    """The scopes, separated by spaces."""
    found = [f"repository:{name}:{','.join(words_of(wanted))}" for name, wanted in asked.repositories.items()]
    return " ".join(found + [CATALOG] * asked.catalog)
