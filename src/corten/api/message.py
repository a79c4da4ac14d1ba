"""The base of every API type, and the strict decoding of a request's body."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from corten.errors import InvalidArgument


class Message(msgspec.Struct, rename="pascal", kw_only=True):
    """A JSON object of Docker's Engine API: `memory_swap` is `MemorySwap` on the wire, exceptions are named.

    Unknown fields are ignored, as Docker ignores them. Values that Docker omits when empty are `UNSET`.
    """


T = TypeVar("T")

#: Fields that Docker accepts as a string or as a list of strings.
_STRING_OR_LIST = frozenset({"Cmd", "Entrypoint", "Shell"})
#: Maps whose null values mean something: "this key, with nothing to say about it".
_NULLABLE_VALUES = frozenset({"EndpointsConfig", "PortBindings", "ExposedPorts", "Volumes"})

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


def decode(body: bytes, type: type[T]) -> T:
    """`body` as a `type`; a null counts as an absent field, as it does in Docker's (Go's) decoder.

    Raises InvalidArgument that names the field which has the wrong type.
    """
    if not body or body.isspace():
        body = b"{}"
    try:
        raw = _decode_json(body)
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"the request's body is not valid JSON: {error}") from error
    if b"\\u0000" in body and (where := _find_nul(raw)):
        raise InvalidArgument(f"invalid request body: {where} has a NUL character in it")
    return convert(raw, type)


def convert(raw: Any, type: type[T]) -> T:
    """The parsed JSON value `raw` as a `type`; see `decode`."""
    try:
        return msgspec.convert(_normalise(raw), type)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid request body: {_sentence(str(error))}") from error


def encode(value: Any) -> bytes:
    """`value` (a Message, or lists and dicts of them) as JSON."""
    return _encode_json(value)


def _find_nul(value: Any, path: str = "") -> str:
    """The path of the first string with a NUL: no argument, path or name of the kernel's can hold one."""
    if isinstance(value, str):
        return path if "\0" in value else ""
    if isinstance(value, dict):
        if any("\0" in key for key in value):
            return path or "a field's name"
        return next(
            filter(None, (_find_nul(item, f"{path}.{key}" if path else key) for key, item in value.items())),
            "",
        )
    if isinstance(value, list):
        return next(
            filter(None, (_find_nul(item, f"{path}[{index}]") for index, item in enumerate(value))), ""
        )
    return ""


def _sentence(text: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.HostConfig.Memory`", with the field first."""
    what, separator, where = text.partition(" - at ")
    if not separator:
        return text
    return f"{where.strip('`').removeprefix('$.')}: {what[0].lower()}{what[1:]}"


def _normalise(value: Any, key: str = "") -> Any:
    if type(value) is dict:
        keep = key in _NULLABLE_VALUES
        result: dict[str, Any] = {}
        for name, item in value.items():
            if item is None:
                if keep:
                    result[name] = None
            elif type(item) is dict or type(item) is list:
                result[name] = _normalise(item, name)
            elif name in _STRING_OR_LIST and type(item) is str:
                result[name] = [item]
            else:
                result[name] = item
        return result
    if type(value) is list:
        return [_normalise(item) if type(item) in (dict, list) else item for item in value]
    return value
