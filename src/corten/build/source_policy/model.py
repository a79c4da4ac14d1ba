"""A policy as BuildKit's sourcepolicy/pb/policy.proto has it, from JSON."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from corten.errors import InvalidArgument

VERSION = 1


class Action(IntEnum):
    """What a rule does with a source that it matches."""

    ALLOW = 0
    DENY = 1
    CONVERT = 2


class MatchType(IntEnum):
    """How a selector's identifier is compared."""

    WILDCARD = 0
    EXACT = 1
    REGEX = 2


class Condition(IntEnum):
    """How an attribute is compared."""

    EQUAL = 0
    NOTEQUAL = 1
    MATCHES = 2


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attribute of the source must be so; one that is not there is empty."""

    key: str
    value: str = ""
    condition: Condition = Condition.EQUAL


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sources a rule is about."""

    identifier: str = ""
    match_type: MatchType = MatchType.WILDCARD
    constraints: tuple[Constraint, ...] = ()


class Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What CONVERT makes of it: `$1` and `${name}` are what the selector's parts stand for. Empty: the
    identifier stays."""

    identifier: str = ""
    attrs: dict[str, str] = {}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule."""

    selector: Selector
    action: Action = Action.ALLOW
    updates: Update | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Its rules, in order."""

    rules: tuple[Rule, ...] = ()
    version: int = VERSION


def parse_policy(data: bytes) -> Policy:
    """InvalidArgument for what is none, an unknown field among it: a rule that is misspelt must not be a rule
    that does not count."""
    try:
        policy = msgspec.convert(_spelt(msgspec.json.decode(data)), Policy)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the source policy cannot be read: {error}") from error
    if policy.version not in (0, VERSION):
        raise InvalidArgument(f"the source policy has version {policy.version}: expected {VERSION}")
    for number, rule in enumerate(policy.rules, 1):
        if rule.action is Action.CONVERT and rule.updates is None:
            raise InvalidArgument(f"rule {number} of the source policy is CONVERT and has no updates")
    return policy


_ENUMS: dict[str, type[IntEnum]] = {"action": Action, "match_type": MatchType, "condition": Condition}
_NAMES = {"matchType": "match_type"}


def _spelt(value: Any, inside: str = "") -> Any:
    """Both spellings of JSON that protobuf knows, and enumerations by name or number."""
    if isinstance(value, list):
        return [_spelt(item, inside) for item in value]
    if not isinstance(value, dict) or inside == "attrs":
        kind = _ENUMS.get(inside)
        if kind is not None and isinstance(value, str):
            if value not in kind.__members__:
                known = ", ".join(kind.__members__)
                raise InvalidArgument(
                    f"the source policy cannot be read: {inside} {value!r} is none of {known}"
                )
            return kind[value].value
        return value
    named = {_NAMES.get(str(key), str(key)): item for key, item in value.items()}
    return {key: _spelt(item, key) for key, item in named.items()}
