"""What a Go template can call, and how Go prints values (fmt's %v)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from corten.errors import InvalidArgument


class TemplateError(InvalidArgument):
    """A template that cannot be parsed or does not fit the value."""


class _Missing:
    """What a field that is not there evaluates to; false, and printed as Go prints it."""

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


def to_text(value: Any) -> str:
    """A value as Go prints it with %v."""
    if callable(value):
        value = value()
    if value is None or value is MISSING:
        return "<no value>"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, list | tuple):
        return f"[{' '.join(_nested(item) for item in value)}]"
    if isinstance(value, dict):
        fields = (f"{key}:{_nested(value[key])}" for key in sorted(value) if not callable(value[key]))
        return f"map[{' '.join(fields)}]"
    return str(value)


def _nested(value: Any) -> str:
    return "<nil>" if value is None else to_text(value)


def to_json(value: Any) -> str:
    """`{{json .}}`: compact, keys of an object as they come, methods left out."""
    import json

    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is MISSING:
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value() if callable(value) else value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None or value is MISSING:
            raise ValueError("index of untyped nil")
        if isinstance(value, dict):
            value = value.get(key, "")
        elif not isinstance(key, int):
            raise ValueError(f"cannot index slice/array with {key!r}")
        elif not 0 <= key < len(value):
            raise ValueError(f"index out of range: {key}")
        else:
            value = value[key]
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    return value[start:end]


_PERCENT = re.compile(r"%([-+# 0]*\d*(?:\.\d+)?)([vsdqxXfgtTc%])")


def _printf(text: str, *arguments: Any) -> str:
    left = list(arguments)

    def one(match: re.Match[str]) -> str:
        flags, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb in ("v", "s", "t"):
            return f"%{flags}s" % to_text(value)
        if verb == "q":
            return f"%{flags}s" % to_json(to_text(value))
        return str(f"%{flags}{verb}" % value)

    return _PERCENT.sub(one, text)


def _print(*arguments: Any) -> str:
    """Go's Sprint: a space between operands when neither is a string."""
    parts: list[str] = []
    for number, value in enumerate(arguments):
        if number and not isinstance(value, str) and not isinstance(arguments[number - 1], str):
            parts.append(" ")
        parts.append(to_text(value))
    return "".join(parts)


def _compare(check: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(left: Any, right: Any) -> bool:
        return check(left() if callable(left) else left, right() if callable(right) else right)

    return compare


def _pad(text: str, left: int, right: int) -> str:
    return f"{' ' * left}{text}{' ' * right}" if text else ""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "upper": lambda text: to_text(text).upper(),
    "lower": lambda text: to_text(text).lower(),
    "title": lambda text: re.sub(r"(^|\s)(\S)", lambda m: m[1] + m[2].upper(), to_text(text)),
    "split": lambda text, separator: to_text(text).split(separator) if separator else list(text),
    "join": lambda items, separator: separator.join(to_text(item) for item in items or []),
    "pad": _pad,
    "truncate": lambda text, length: text[:length],
    "println": lambda *items: " ".join(to_text(item) for item in items) + "\n",
    "print": _print,
    "printf": _printf,
    "index": _index,
    "slice": _slice,
    "len": lambda value: len(value),
    "eq": lambda left, *others: any(_equal(left, other) for other in others),
    "ne": lambda left, right: not _equal(left, right),
    "lt": _compare(lambda a, b: a < b),
    "le": _compare(lambda a, b: a <= b),
    "gt": _compare(lambda a, b: a > b),
    "ge": _compare(lambda a, b: a >= b),
    "and": lambda *items: items,
    "or": lambda *items: items,
    "not": lambda value: not bool(value),
    "html": lambda text: to_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    "urlquery": lambda text: _quote(to_text(text)),
}


def _equal(left: Any, right: Any) -> bool:
    return bool((left() if callable(left) else left) == (right() if callable(right) else right))


def _quote(text: str) -> str:
    from corten.client.http import quote

    return quote(text).replace("%20", "+")
