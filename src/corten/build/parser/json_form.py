"""The JSON form of an instruction's arguments: an array of strings, with nothing behind it."""

from __future__ import annotations

import json
import math
import re

from corten.build.parser.white_space import SPACE, replace_invalid

_SURROGATES = re.compile("[\ud800-\udfff]")


class NotStrings(ValueError):
    """An array, but not of strings alone: that is an error, and not the shell form."""

    def __init__(self) -> None:
        super().__init__("when using JSON array syntax, arrays must be comprised of strings only")


def parse_json_form(text: str) -> tuple[str, ...] | None:
    """The strings of the array; None: not JSON, so it is the shell form. Raises NotStrings."""
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        values = json.loads(
            replace_invalid(text), parse_constant=_refuse, parse_float=_number, parse_int=_number
        )
    except RecursionError:
        raise NotStrings from None
    except ValueError:
        return None
    if not all(isinstance(value, str) for value in values):
        raise NotStrings
    return tuple(_SURROGATES.sub("\ufffd", value) for value in values)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _number(text: str) -> float:
    """Numbers that a double cannot hold make the whole not JSON, as for BuildKit."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is out of range")
    return value
