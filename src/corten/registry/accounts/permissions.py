"""What a permission says: actions in the repositories of a pattern, `pull,push:team/*`.

To push or to delete one has to see what is there: push and delete include pull. admin includes everything;
`admin:**` is the administrator of the registry itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from corten.errors import InvalidArgument
from corten.registry.access import Action
from corten.registry.accounts.patterns import check_pattern
from corten.registry.accounts.records import Permission

WORDS = {action.value: action for action in (Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN)}
EVERYTHING = "**"


def including(actions: Iterable[Action]) -> frozenset[Action]:
    """`actions` with those that they include."""
    found = set(actions)
    if Action.ADMIN in found:
        return frozenset(WORDS.values())
    if found & {Action.PUSH, Action.DELETE}:
        found.add(Action.PULL)
    return frozenset(found)


def parse(text: str) -> Permission:
    """`pull,push:team/*`; InvalidArgument."""
    words, colon, pattern = text.partition(":")
    if not colon:
        raise InvalidArgument(
            f"invalid permission {text[:200]!r}: expected ACTIONS:PATTERN, such as pull,push:team/*"
        )
    return Permission(check_pattern(pattern), parse_actions(words))


def parse_actions(text: str) -> tuple[str, ...]:
    """The words of `pull,push`, in order; InvalidArgument."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in WORDS:
            raise InvalidArgument(f"invalid action {word[:40]!r}: there are {', '.join(WORDS)}")
    return tuple(word for word in WORDS if word in words)


def actions_of(permission: Permission) -> frozenset[Action]:
    """Everything that it allows."""
    return including(WORDS[word] for word in permission.actions if word in WORDS)


def text_of(permission: Permission) -> str:
    """`pull,push:team/*`."""
    return f"{','.join(permission.actions)}:{permission.pattern}"
