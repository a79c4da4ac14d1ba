"""JSON as bytes, without the `json` package.

`import json` loads `re` and costs 10 ms, as much as the interpreter itself: too much for `corten run`. The C
scanner and encoder behind it (module `_json`) need neither. Where an interpreter has no `_json`, the package
does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = Any


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _constant(name: str) -> float:
    return float(name.replace("Infinity", "inf").replace("NaN", "nan"))


class _Context:
    """What the C scanner reads its settings from."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)


try:
    import _json

    _encode: Callable[..., Any] = _json.make_encoder(
        None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True
    )
    _scan: Callable[..., Any] = _json.make_scanner(_Context())  # type: ignore[arg-type]  # any object with these attributes

    def dumps(value: Json) -> bytes:
        """`value` as compact ASCII JSON."""
        return "".join(_encode(value, 0)).encode("ascii")

    def loads(data: bytes | str) -> Json:
        """The value of one JSON text; ValueError when it is not one."""
        text = (data if isinstance(data, str) else data.decode("utf-8", "replace")).strip()
        try:
            value, end = _scan(text, 0)
        except StopIteration:
            raise ValueError(f"not JSON: {text[:60]!r}") from None
        if end != len(text):
            raise ValueError(f"not one JSON text: {text[end : end + 60]!r} follows it")
        return value

except (ImportError, AttributeError, TypeError):  # another interpreter than CPython, or a changed `_json`
    from json import dumps as _dumps
    from json import loads as _loads

    def dumps(value: Json) -> bytes:
        """`value` as compact ASCII JSON."""
        return _dumps(value, separators=(",", ":")).encode("ascii")

    def loads(data: bytes | str) -> Json:
        """The value of one JSON text; ValueError when it is not one."""
        return _loads(data)


class LineDecoder:
    """A stream of JSON texts, one a line or back to back (events, progress, stats): bytes in, values out."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Json]:
        """The values that are complete with `data`; Docker ends each with a newline."""
        self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        return [loads(line) for line in lines if line.strip()]

    def finish(self) -> list[Json]:
        """What the stream ended with, when its last text had no newline."""
        rest, self._pending = self._pending, b""
        return [loads(rest)] if rest.strip() else []
