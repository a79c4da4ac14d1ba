"""What a policy says of a source (BuildKit's sourcepolicy/engine.go).

Of ALLOW and DENY the last rule that matches counts. A CONVERT that changes something starts over with what
came of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from corten.build.source_policy.model import Action, Condition, MatchType, Policy, Rule, Selector
from corten.errors import Denied, InvalidArgument

_MOST_CONVERSIONS = 20
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


class Named(msgspec.Struct, frozen=True):
    """A source as policies see it: `docker-image://docker.io/library/busybox:latest`, and its attributes
    (`http.checksum`)."""

    identifier: str
    attrs: dict[str, str] = {}


def evaluate(policy: Policy, source: Named) -> Named:
    """What is to be taken instead; the same where nothing is. Denied; InvalidArgument for a policy with a
    pattern that is none, or that converts without end."""
    first = source
    for _ in range(_MOST_CONVERSIONS + 1):
        converted = _once(policy, source, first)
        if converted is None:
            return source
        source = converted
    raise InvalidArgument(
        f"the source policy converts {first.identifier} more than {_MOST_CONVERSIONS} times: its rules go "
        "round in a circle"
    )


def _once(policy: Policy, source: Named, first: Named) -> Named | None:
    """What the first rule that changes anything makes of it."""
    denied: tuple[int, Rule] | None = None
    for number, rule in enumerate(policy.rules, 1):
        if not _matches(rule.selector, source):
            continue
        if rule.action is Action.ALLOW:
            denied = None
        elif rule.action is Action.DENY:
            denied = number, rule
        elif (converted := _converted(rule, source)) != source:
            return converted
    if denied is None:
        return None
    was = f" (converted from {first.identifier})" if first.identifier != source.identifier else ""
    number, rule = denied
    raise Denied(
        f"source {source.identifier}{was} is denied by rule {number} of the source policy, DENY "
        f"{rule.selector.identifier}"
    )


def _matches(selector: Selector, source: Named) -> bool:
    for constraint in selector.constraints:
        value = source.attrs.get(constraint.key, "")
        if constraint.condition is Condition.MATCHES:
            holds = _compiled(constraint.value).search(value) is not None
        else:
            holds = (value == constraint.value) is (constraint.condition is Condition.EQUAL)
        if not holds:
            return False
    if selector.identifier == source.identifier:
        return True
    if selector.match_type is MatchType.EXACT:
        return False
    return _pattern(selector).search(source.identifier) is not None


def _pattern(selector: Selector) -> re.Pattern[str]:
    if selector.match_type is MatchType.REGEX:
        return _compiled(selector.identifier)
    if "**" in selector.identifier:
        raise InvalidArgument(f"the source policy has an invalid wildcard: {selector.identifier}")
    parts = [re.escape(part) for part in selector.identifier.split("*")]
    return re.compile(rf"\A{'(.*)'.join(parts)}\Z")


def _compiled(text: str) -> re.Pattern[str]:
    try:  # the end is \z in Go, \Z here
        return re.compile(_ESCAPED.sub(lambda found: r"\Z" if found[0] == r"\z" else found[0], text))
    except re.error as error:
        raise InvalidArgument(
            f"the source policy has an invalid regular expression {text!r}: {error}"
        ) from error


def _converted(rule: Rule, source: Named) -> Named:
    assert rule.updates is not None
    template = rule.updates.identifier
    if not template:
        identifier = source.identifier
    elif rule.selector.match_type is MatchType.EXACT:
        identifier = template
    else:
        pattern = _pattern(rule.selector)
        identifier = pattern.sub(lambda match: _expanded(template, match), source.identifier)
    return Named(identifier, {**source.attrs, **rule.updates.attrs})


def _expanded(template: str, match: re.Match[str]) -> str:
    """As Go's regexp expands: what a group has not matched, or there is no group of that name, is empty."""
    groups: Mapping[str, str | None] = {
        **match.groupdict(),
        **{str(number): text for number, text in enumerate((match[0], *match.groups()))},
    }

    def value(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        return "$" if name is None else groups.get(name) or ""

    return _REFERENCE.sub(value, template)
