"""The values of `RUN --mount=…` and `RUN --device=…`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corten.build.instructions.csv_fields import csv_fields
from corten.build.instructions.notation import parse_bool, parse_size, parse_unsigned
from corten.build.instructions.suggestion import suggestion
from corten.build.instructions.types import Device, Mount
from corten.build.parser.quotation import quoted

Expander = Callable[[str], str]
"""Expands the variables of one word."""

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")

_KEYS = {
    "type": "type",
    "from": "from_stage",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "readwrite": "readwrite",
    "rw": "readwrite",
    "required": "required",
    "size": "size",
    "id": "id",
    "sharing": "sharing",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "env": "env",
}
_WITH_OWNER = ("secret", "ssh", "cache")
_WITH_REQUIRED = ("secret", "ssh")


def scan_mount(text: str) -> Mount:
    """What can be said of a mount before its variables are known: where it comes from. Raises
    ValueError."""
    from_stage = ""
    for field in _fields(text, "mounts"):
        key, equals, value = field.partition("=")
        if equals and key.lower() == "from":
            if "$" in value[:-1]:
                raise ValueError("'from' doesn't support variable expansion, define alias stage instead")
            from_stage = value
    return Mount(text=text, from_stage=from_stage)


def parse_mount(text: str, expand: Expander) -> Mount:
    """The mount, with its variables expanded. Raises ValueError, and what `expand` raises."""
    values: dict[str, Any] = {"type": "bind"}
    for field in _fields(text, "mounts"):
        key, equals, value = field.partition("=")
        key = key.lower()
        if equals:
            _set_value(values, key, expand(value), field)
        else:
            _set_word(values, key, field)
    _check(values)
    values.setdefault("readonly", values["type"] not in ("cache", "tmpfs"))
    return Mount(text=text, **values)


def _fields(text: str, what: str) -> list[str]:
    try:
        return csv_fields(text)
    except ValueError as error:
        raise ValueError(f"failed to parse csv {what}: {error}") from None


def _set_word(values: dict[str, Any], key: str, field: str) -> None:
    """A key without a value. The last of those that say the same thing counts."""
    match key:
        case "readonly" | "ro" | "readwrite" | "rw":
            _set_readonly(values, _KEYS[key], True)
        case "required":
            _need_type(values, key, _WITH_REQUIRED)
            values["required"] = True
        case _:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")


def _set_readonly(values: dict[str, Any], name: str, value: bool) -> None:
    values["readonly"] = value if name == "readonly" else not value


def _truth(key: str, value: str) -> bool:
    return bool(_read(parse_bool, value, f"invalid value for {key}: {value}"))


def _need_type(values: dict[str, Any], key: str, types: tuple[str, ...]) -> None:
    if values["type"] not in types:
        raise ValueError(f"unexpected key '{key}' for mount type '{values['type']}'")


def _set_value(values: dict[str, Any], key: str, value: str, field: str) -> None:
    name = _KEYS.get(key)
    match name:
        case None:
            hint = suggestion(key, _KEYS)
            raise ValueError(f"unexpected key '{key}' in '{field}'{hint}")
        case "type":
            if value.lower() not in TYPES:
                hint = suggestion(value, TYPES)
                raise ValueError(f"unsupported mount type {quoted(value)}{hint}")
            values[name] = value.lower()
        case "sharing":
            if value.lower() not in SHARING:
                hint = suggestion(value, SHARING)
                raise ValueError(f"unsupported sharing value {quoted(value)}{hint}")
            values[name] = value.lower()
        case "readonly" | "readwrite":
            _set_readonly(values, name, _truth(key, value))
        case "required":
            _need_type(values, key, _WITH_REQUIRED)
            values[name] = _truth(key, value)
        case "size":
            _need_type(values, key, ("tmpfs",))
            values[name] = _read(parse_size, value, f"invalid value for {key}: {value}")
        case "mode" | "uid" | "gid":
            base = 8 if name == "mode" else 10
            invalid = f"invalid value {value} for {key}"
            values[name] = _read(lambda text: parse_unsigned(text, base), value, invalid)
        case _:
            values[name] = value


def _read(parse: Callable[[str], int], value: str, invalid: str) -> int:
    try:
        return parse(value)
    except ValueError:
        raise ValueError(invalid) from None


def _check(values: dict[str, Any]) -> None:
    """What does not go together."""
    kind = values["type"]
    for name in ("mode", "uid", "gid"):
        if name in values and kind not in _WITH_OWNER:
            raise ValueError(f"{name} not allowed for {quoted(kind)} type mounts")
    if kind == "secret":
        if values.get("from_stage"):
            raise ValueError("secret mount should not have a from")
        if "sharing" in values:
            raise ValueError("secret mount should not define sharing")
        if not (values.get("source") or values.get("target") or values.get("id")):
            raise ValueError("invalid secret mount. one of source, target required")
        if values.get("source") and values.get("id"):
            raise ValueError("both source and id can't be set")
    elif "sharing" in values and kind != "cache":
        raise ValueError(f"invalid cache sharing set for {kind} mount")


def parse_device(text: str) -> Device:
    """`vendor.com/class=name`, `name=…` and `required` in any order. Raises ValueError."""
    name = ""
    required = False
    for field in _fields(text, "devices"):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key == "required":
            required = _truth(key, value) if equals else True
        elif key == "name" and equals:
            if name:
                raise ValueError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        elif not equals:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        else:
            hint = suggestion(key, ("name", "required"))
            raise ValueError(f"unexpected key '{key}' in '{field}'{hint}")
    return Device(name, required)
