"""A stand-in for `msgspec.Struct`, for a command that lives for milliseconds.

To import msgspec (and typing, inspect, uuid, datetime with it) takes longer than to start a container. What
`struct` needs of it is small: keyword constructors with defaults, camelCase names, JSON there and back with
types checked and the place of an error told. A program that imports this module before anything else of the
package gets these; every other one gets msgspec's. Both pass the same contract suite.

Not here: frozen values are not guarded against assignment.
"""

from __future__ import annotations

import sys
from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Convert = Callable[[Any], Any]

_MISSING: Any = object()


class DecodeError(ValueError):
    """JSON that is broken, or not what its type says."""


class _Field:
    __slots__ = ("default", "default_factory", "name")

    def __init__(self, name: str | None, default: Any, default_factory: Any) -> None:
        self.name = name
        self.default = default
        self.default_factory = default_factory


def field(*, name: str | None = None, default: Any = _MISSING, default_factory: Any = _MISSING) -> Any:
    """A field with its own JSON name, or a default that is made anew (and written to the JSON always)."""
    return _Field(name, default, default_factory)


class Struct:
    """Base of typed values. Defaults are attributes of the class."""

    _fields: tuple[str, ...] = ()
    _names: dict[str, str] = {}
    _required: frozenset[str] = frozenset()
    _always: frozenset[str] = frozenset()
    _rename = False
    _omit = False
    _converters: dict[str, tuple[str, Convert]] | None = None

    def __init_subclass__(
        cls,
        rename: str | None = None,
        omit_defaults: bool = False,
        frozen: bool = False,
        kw_only: bool = False,
    ) -> None:
        cls._rename = cls._rename or rename == "camel"
        cls._omit = cls._omit or omit_defaults
        cls._converters = None
        own = cls.__dict__
        names, required, always = dict(cls._names), set(cls._required), set(cls._always)
        for attribute in own.get("__annotations__", ()):
            value = own.get(attribute, _MISSING)
            name = _camel(attribute) if cls._rename else attribute
            if isinstance(value, _Field):
                name = value.name or name
                if value.default_factory is not _MISSING:
                    always.add(attribute)
                    value = value.default_factory()
                else:
                    value = value.default
                if value is _MISSING:
                    delattr(cls, attribute)
                else:
                    setattr(cls, attribute, value)
            if value is _MISSING:
                required.add(attribute)
            else:
                required.discard(attribute)
            names[attribute] = name
        cls._names, cls._fields = names, tuple(names)
        cls._required, cls._always = frozenset(required), frozenset(always)

    def __init__(self, *values: Any, **named: Any) -> None:
        if values:
            named.update(zip(self._fields, values, strict=False))
        if not self._required <= named.keys():
            missing = ", ".join(sorted(self._required - named.keys()))
            raise TypeError(f"Missing required argument {missing}")
        if not named.keys() <= self._names.keys():
            raise TypeError(f"Unexpected keyword argument {', '.join(named.keys() - self._names.keys())}")
        self.__dict__.update(named)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._fields)})"

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])


def replace(value: Any, **changes: Any) -> Any:
    """A copy of `value` with some fields changed."""
    return type(value)(**{**value.__dict__, **changes})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join([word.capitalize() for word in rest])


# -- to JSON


def encode(value: Any) -> bytes:
    """Compact JSON."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts).encode()


def _write(value: Any, put: Callable[[str], Any]) -> None:
    if value is None:
        put("null")
    elif value is True or value is False:
        put("true" if value else "false")
    elif isinstance(value, str):
        put(encode_basestring_ascii(value))
    elif isinstance(value, int | float):
        put(repr(value))
    elif isinstance(value, list | tuple):
        before = "["
        for item in value:
            put(before)
            _write(item, put)
            before = ","
        put("]" if before == "," else "[]")
    else:
        items = _pairs(value) if isinstance(value, Struct) else value.items()
        before = "{"
        for name, item in items:
            put(before)
            put(encode_basestring_ascii(name))
            put(":")
            _write(item, put)
            before = ","
        put("}" if before == "," else "{}")


def _pairs(value: Struct) -> list[tuple[str, Any]]:
    cls = type(value)
    return [
        (name, item)
        for attribute, name in cls._names.items()
        if (item := getattr(value, attribute)) != getattr(cls, attribute, _MISSING)
        or not cls._omit
        or attribute in cls._always
    ]


def to_builtins(value: Any) -> Any:
    """`value` with dictionaries in place of structs."""
    if isinstance(value, Struct):
        return {name: to_builtins(item) for name, item in _pairs(value)}
    if isinstance(value, dict):
        return {name: to_builtins(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_builtins(item) for item in value]
    return value


# -- from JSON


def _no_constant(text: str) -> Any:
    raise DecodeError(f"JSON is malformed: invalid character ({text})")


class _Dialect:
    """What the scanner of the standard library wants to know."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)
    memo: dict[str, str] = {}


_scan: Any = make_scanner(_Dialect())  # type: ignore[arg-type]
_SPACE = " \t\n\r"


def parse(data: bytes | str) -> Any:
    """JSON as dictionaries, lists, strings and numbers."""
    text = (data.decode() if isinstance(data, bytes) else data).strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise DecodeError(f"JSON is malformed: invalid character (byte {error.value})") from None
    except RecursionError:
        raise DecodeError("JSON is nested too deeply") from None
    except ValueError as error:
        raise (
            error if isinstance(error, DecodeError) else DecodeError(f"JSON is malformed: {error}")
        ) from None
    if end != len(text):
        raise DecodeError(f"JSON is malformed: trailing characters (byte {end})")
    if "\\u" in text:
        _check_text(value)
    return value


def _check_text(value: Any) -> None:
    """Half a surrogate pair is no text."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise DecodeError("JSON is malformed: invalid unicode surrogate pair") from None
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


class _Mismatch(Exception):
    """A value of another type than it should have; `place` is filled on the way out."""

    def __init__(self, expected: str, value: Any) -> None:
        self.expected = expected
        self.found = _KINDS.get(type(value), "null")
        self.place = ""
        self.missing = ""

    def message(self) -> str:
        what = f"Expected `{self.expected}`, got `{self.found}`"
        if self.missing:
            what = f"Object missing required field `{self.missing}`"
        return what + (f" - at `${self.place}`" if self.place else "")


class Decoder:
    """Decodes one type, again and again."""

    def __init__(self, type: Any) -> None:
        self._type = type

    def decode(self, data: bytes | str) -> Any:
        try:
            return _struct(self._type)(parse(data))
        except _Mismatch as error:
            raise DecodeError(error.message()) from None


def decode(data: bytes | str, *, type: Any) -> Any:
    """The `type` in `data`."""
    return Decoder(type).decode(data)


def _struct(cls: type[Struct]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch("object", value)
        converters = cls._converters
        if converters is None:
            converters = cls._converters = _converters_of(cls)
        named = {}
        name = ""
        try:
            for name, item in value.items():
                found = converters.get(name)
                if found is not None:
                    named[found[0]] = found[1](item)
        except _Mismatch as error:
            error.place = f".{name}{error.place}"
            raise
        if not cls._required <= named.keys():
            lacking = _Mismatch("object", value)
            lacking.missing = next(
                cls._names[field] for field in cls._fields if field in cls._required and field not in named
            )
            raise lacking
        result = cls.__new__(cls)
        result.__dict__.update(named)
        return result

    return convert


def _converters_of(cls: type[Struct]) -> dict[str, tuple[str, Convert]]:
    result = {}
    for base in reversed(cls.__mro__):
        scope = vars(sys.modules[base.__module__])
        for attribute, annotation in vars(base).get("__annotations__", {}).items():
            if attribute in cls._names:
                result[cls._names[attribute]] = (attribute, _compile(annotation, scope))
    return result


def _compile(annotation: str, scope: dict[str, Any]) -> Convert:
    if annotation.endswith(" | None"):
        return _optional(_compile(annotation[:-7], scope))
    if annotation.startswith("tuple[") and annotation.endswith(", ...]"):
        return _array(_compile(annotation[6:-6], scope))
    if annotation.startswith("dict[str, "):
        return _mapping(_compile(annotation[10:-1], scope))
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    found = scope.get(annotation)
    if isinstance(found, type) and issubclass(found, Struct):
        return _struct(found)
    raise TypeError(f"no JSON is known for the type {annotation}")


def _optional(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        try:
            return inner(value)
        except _Mismatch as error:
            if not error.place and not error.missing:
                error.expected += " | null"
            raise

    return convert


def _array(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise _Mismatch("array", value)
        result = []
        try:
            for item in value:
                result.append(inner(item))
        except _Mismatch as error:
            error.place = f"[{len(result)}]{error.place}"
            raise
        return tuple(result)

    return convert


def _mapping(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch("object", value)
        try:
            return {name: inner(item) for name, item in value.items()}
        except _Mismatch as error:
            error.place = f"[...]{error.place}"
            raise

    return convert


def _exactly(kind: type) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise _Mismatch(kind.__name__, value)
        return value

    return convert


_PLAIN: dict[str, Convert] = {"int": _exactly(int), "str": _exactly(str), "bool": _exactly(bool)}
_KINDS = {dict: "object", list: "array", str: "str", int: "int", float: "float", bool: "bool"}
